import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import handler  # noqa: E402


class Orders(unittest.TestCase):
    def ask(self, order):
        given = handler.handle({"pathParameters": {"id": order}}, None)
        return given["statusCode"], json.loads(given["body"])

    def test_an_order_is_told(self):
        status, body = self.ask("7")
        self.assertEqual((status, body["order"]), (200, 7))

    def test_what_is_no_number_is_refused(self):
        for order in ("", "seven", "7; drop"):
            self.assertEqual(self.ask(order)[0], 400)


if __name__ == "__main__":
    unittest.main()
