"""Answers with the order that was asked for."""

import json
import logging
import os

log = logging.getLogger()
log.setLevel(os.environ.get("LOG_LEVEL", "info").upper().replace("WARN", "WARNING"))


def handle(event, _context):
    """A call of the HTTP API, payload format 2.0."""
    order = event.get("pathParameters", {}).get("id", "")
    if not order.isdigit():
        log.warning("no order: %r", order)
        return answer(400, {"error": "an order's id is a number"})
    log.info("order %s", order)
    return answer(200, {"order": int(order), "stage": os.environ.get("STAGE", "")})


def answer(status, body):
    """What API Gateway makes a response of."""
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
