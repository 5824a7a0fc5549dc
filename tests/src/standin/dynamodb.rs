//! DynamoDB: one table, and the seven operations and the few expressions that the ledger uses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use wiremock::ResponseTemplate;

use super::{Answered, State, TABLE, error, fields, list, ok, text};

/// The condition of an item that must not be there.
pub(crate) const ABSENT: &str = "attribute_not_exists(#pk)";
/// The condition of an item that must be as it was read.
pub(crate) const VERSION: &str = "#version = :version";
/// The condition of an item that must be as its last writer left it.
pub(crate) const NONCE: &str = "#nonce = :nonce";
/// The update that counts one more turn of a pace, and the one that sets a pace.
pub(crate) const COUNT: &str = "SET #item.#data.#given = #item.#data.#given + :one, #version = #version + :one, \
     #nonce = :nonce, #expires_at = :expires_at";
pub(crate) const SET: &str = "SET #item = :item, #schema = :schema, #version = if_not_exists(#version, :zero) + :one, \
     #nonce = :nonce, #expires_at = :expires_at";
/// The conditions of both: on a pace that is in use, that rested, or that was cut so often.
pub(crate) const IN_USE: &str =
    "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given >= :given";
pub(crate) const RESTED: &str =
    "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given < :given";
pub(crate) const CUTS: &str = "#item.#data.#cuts = :cuts";
/// The key condition of the open runs.
pub(crate) const OPEN: &str = "#pk = :pk";
/// The key condition of a run's targets.
pub(crate) const TARGETS: &str = "#pk = :pk AND begins_with(#sk, :prefix)";

/// All expressions that there are.
pub(crate) const EXPRESSIONS: [&str; 10] = [ABSENT, VERSION, NONCE, OPEN, TARGETS, COUNT, SET, IN_USE, RESTED, CUTS];

/// "The maximum item size in DynamoDB is 400 KB" (Developer Guide, "Constraints").
const MAX_ITEM: usize = 400 * 1024;
/// "A single Query operation can retrieve items up to a maximum data size of 1 MB".
const MAX_PAGE: usize = 1024 * 1024;
/// "aggregate size of the items in the transaction cannot exceed 4 MB" (`TransactWriteItems`).
const MAX_TRANSACTION: usize = 4 * 1024 * 1024;

/// What DynamoDB calls an item's key.
type Place = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Table {
    items: BTreeMap<Place, Map<String, Value>>,
    /// Client request tokens with the requests that they came with.
    tokens: BTreeMap<String, Value>,
    pub(crate) expressions: BTreeSet<String>,
}

enum Condition {
    None,
    Absent,
    Version(Value),
}

struct Put {
    place: Place,
    item: Map<String, Value>,
    size: usize,
    condition: Condition,
}

impl State {
    pub(super) fn dynamodb(&mut self, operation: &str, body: &Value) -> Answered {
        let page = self.setting.page;
        match operation {
            "GetItem" => self.table.get_item(body),
            "BatchGetItem" => self.table.batch_get_item(body),
            "Query" => self.table.query(body, page),
            "PutItem" => self.table.put_item(body),
            "DeleteItem" => self.table.delete_item(body),
            "UpdateItem" => self.table.update_item(body),
            "TransactWriteItems" => self.table.transact_write_items(body),
            other => Err(format!("the ledger does not call {other}")),
        }
    }
}

impl Table {
    /// The runs that are still looked after.
    pub(crate) fn open_runs(&self) -> usize {
        self.items.keys().filter(|(pk, _)| pk == "open").count()
    }

    pub(crate) fn runs(&self) -> Vec<String> {
        let heads = self.items.keys().filter(|(_, sk)| sk == "head");
        heads.filter_map(|(pk, _)| pk.strip_prefix("run#")).map(str::to_owned).collect()
    }

    fn get_item(&self, body: &Value) -> Answered {
        let body = fields(body, &["TableName", "Key", "ConsistentRead"])?;
        own_table(body)?;
        consistent(body)?;
        let place = place(body.get("Key").unwrap_or(&Value::Null))?;
        Ok(ok(&self.items.get(&place).map_or_else(|| json!({}), |item| json!({ "Item": item }))))
    }

    fn batch_get_item(&self, body: &Value) -> Answered {
        let body = fields(body, &["RequestItems"])?;
        let tables = fields(body.get("RequestItems").unwrap_or(&Value::Null), &[TABLE])?;
        let request = fields(tables.get(TABLE).unwrap_or(&Value::Null), &["Keys", "ConsistentRead"])?;
        consistent(request)?;
        let keys = list(request, "Keys")?;
        let places = keys.iter().map(place).collect::<Result<BTreeSet<_>, _>>()?;
        if keys.is_empty() || keys.len() > 100 || places.len() != keys.len() {
            return Err(format!(
                "{} keys, {} of them distinct; 1 to 100 distinct ones are allowed",
                keys.len(),
                places.len()
            ));
        }
        // "DynamoDB does not return items in any particular order."
        let found: Vec<_> = places.iter().rev().filter_map(|place| self.items.get(place)).collect();
        Ok(ok(&json!({"Responses": {TABLE: found}, "UnprocessedKeys": {}})))
    }

    fn query(&mut self, body: &Value, page: Option<usize>) -> Answered {
        let allowed = [
            "TableName",
            "ConsistentRead",
            "KeyConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ExclusiveStartKey",
        ];
        let body = fields(body, &allowed)?;
        own_table(body)?;
        consistent(body)?;
        let expression = text(body, "KeyConditionExpression")?;
        self.expressions.insert(expression.to_owned());
        let names = body.get("ExpressionAttributeNames");
        let (known, allowed): (_, &[&str]) = match expression {
            TARGETS => (json!({"#pk": "pk", "#sk": "sk"}), &[":pk", ":prefix"]),
            OPEN => (json!({"#pk": "pk"}), &[":pk"]),
            other => return Err(format!("the ledger does not query by {other}")),
        };
        if names != Some(&known) {
            return Err(format!("other names than those of {expression}"));
        }
        let values = body.get("ExpressionAttributeValues").unwrap_or(&Value::Null);
        let values = fields(values, allowed)?;
        let value = |name: &str| values.get(name).and_then(|value| value.get("S")).and_then(Value::as_str);
        let prefix = if expression == OPEN { Some("") } else { value(":prefix") };
        let (Some(pk), Some(prefix)) = (value(":pk"), prefix) else {
            return Err("a value of the key condition is no string".to_owned());
        };
        let after = body.get("ExclusiveStartKey").map(place).transpose()?;
        let (mut found, mut size, mut last) = (Vec::new(), 0, None);
        let matching = self.items.iter().filter(|((p, s), _)| p == pk && s.starts_with(prefix));
        for (place, item) in matching.filter(|(place, _)| after.as_ref().is_none_or(|after| *place > after)) {
            size += weight(item)?;
            found.push(item);
            if size >= MAX_PAGE || page.is_some_and(|page| found.len() >= page) {
                last = Some(json!({"pk": {"S": place.0}, "sk": {"S": place.1}}));
                break;
            }
        }
        let mut answer = json!({"Count": found.len(), "ScannedCount": found.len(), "Items": found});
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = last;
        }
        Ok(ok(&answer))
    }

    fn put_item(&mut self, body: &Value) -> Answered {
        let put = self.put(body)?;
        let stored = self.items.get(&put.place);
        if !holds(&put.condition, stored) {
            let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            let item = stored.map_or_else(|| json!({}), |item| json!({ "Item": item }));
            return Ok(error(400, code, "The conditional request failed", &item));
        }
        self.items.insert(put.place, put.item);
        Ok(ok(&json!({})))
    }

    /// Of a pace. "Use of an update expression that names what is not there" fails by its condition, which is looked at first.
    fn update_item(&mut self, body: &Value) -> Answered {
        let allowed = [
            "TableName",
            "Key",
            "UpdateExpression",
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ReturnValues",
            "ReturnValuesOnConditionCheckFailure",
        ];
        let body = fields(body, &allowed)?;
        own_table(body)?;
        let place = place(body.get("Key").unwrap_or(&Value::Null))?;
        if !place.0.starts_with("pace#") {
            return Err(format!("nothing but paces is updated, not {place:?}"));
        }
        if text(body, "ReturnValues")? != "ALL_NEW" || text(body, "ReturnValuesOnConditionCheckFailure")? != "ALL_OLD" {
            return Err("an update that does not tell what is stored".to_owned());
        }
        let (update, condition) = (text(body, "UpdateExpression")?, text(body, "ConditionExpression")?);
        self.expressions.extend([update.to_owned(), condition.to_owned()]);
        for (part, sign) in [("ExpressionAttributeNames", '#'), ("ExpressionAttributeValues", ':')] {
            let given = body.get(part).and_then(Value::as_object).ok_or_else(|| format!("no {part}"))?;
            // "Value unused in expressions" is an error, and so is one that is not defined.
            let used: BTreeSet<&str> = update
                .split([' ', ',', '.', '(', ')'])
                .chain(condition.split([' ', '.', '(', ')']))
                .filter(|word| word.starts_with(sign))
                .collect();
            let given: BTreeSet<&str> = given.keys().map(String::as_str).collect();
            if used != given {
                return Err(format!("{part} {given:?}, and used are {used:?}"));
            }
        }
        let value = |name: &str| body["ExpressionAttributeValues"].get(name).cloned().unwrap_or(Value::Null);
        let stored = self.items.get(&place);
        let is = |field: &str| stored.map(|item| item["item"]["M"]["data"]["M"][field].clone());
        let given = |value: Option<&Value>| value?.get("N")?.as_str()?.parse::<u64>().ok();
        let same = |field: &str| is(field) == Some(value(&format!(":{field}")));
        let in_use = given(is("given").as_ref()) >= given(Some(&value(":given")));
        let holds = match condition {
            ABSENT => stored.is_none(),
            CUTS => same("cuts"),
            IN_USE => same("cuts") && same("since") && in_use,
            RESTED => same("cuts") && same("since") && !in_use,
            other => return Err(format!("the ledger has no condition {other}")),
        };
        if !holds {
            let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            let item = stored.map_or_else(|| json!({}), |item| json!({ "Item": item }));
            return Ok(error(400, code, "The conditional request failed", &item));
        }
        let number = |value: u64| json!({"N": value.to_string()});
        let version = stored.and_then(|item| given(item.get("version"))).unwrap_or(0);
        let mut item = Value::from(stored.cloned().unwrap_or_default());
        (item["pk"], item["sk"]) = (json!({"S": place.0}), json!({"S": place.1}));
        match update {
            COUNT => {
                let turns = given(is("given").as_ref()).ok_or("a pace without a number of turns")?;
                item["item"]["M"]["data"]["M"]["given"] = number(turns + 1);
            }
            SET => (item["item"], item["schema"]) = (value(":item"), value(":schema")),
            other => return Err(format!("the ledger has no update {other}")),
        }
        (item["version"], item["nonce"]) = (number(version + 1), value(":nonce"));
        item["expires_at"] = value(":expires_at");
        let Value::Object(item) = item else { return Err("an item is an object".to_owned()) };
        weight(&item)?;
        self.items.insert(place, item.clone());
        Ok(ok(&json!({ "Attributes": item })))
    }

    fn delete_item(&mut self, body: &Value) -> Answered {
        let allowed =
            ["TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"];
        let body = fields(body, &allowed)?;
        own_table(body)?;
        let place = place(body.get("Key").unwrap_or(&Value::Null))?;
        if place.0 != "open" {
            return Err(format!("nothing but open runs is deleted, not {place:?}"));
        }
        let expression = text(body, "ConditionExpression")?;
        self.expressions.insert(expression.to_owned());
        if expression != NONCE || body.get("ExpressionAttributeNames") != Some(&json!({"#nonce": "nonce"})) {
            return Err(format!("the ledger does not delete by {expression}"));
        }
        let nonce = body.get("ExpressionAttributeValues").and_then(|values| values.get(":nonce"));
        if nonce.is_none() || self.items.get(&place).and_then(|item| item.get("nonce")) != nonce {
            let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            return Ok(error(400, code, "The conditional request failed", &json!({})));
        }
        self.items.remove(&place);
        Ok(ok(&json!({})))
    }

    fn transact_write_items(&mut self, body: &Value) -> Answered {
        let request = fields(body, &["TransactItems", "ClientRequestToken"])?;
        let token = text(request, "ClientRequestToken")?.to_owned();
        if token.len() > 36 {
            return Err(format!("the token {token} is longer than 36"));
        }
        let items = list(request, "TransactItems")?;
        let puts = items
            .iter()
            .map(|item| self.put(fields(item, &["Put"])?.get("Put").unwrap_or(&Value::Null)))
            .collect::<Result<Vec<_>, _>>()?;
        let distinct: BTreeSet<&Place> = puts.iter().map(|put| &put.place).collect();
        if puts.is_empty() || puts.len() > 100 || distinct.len() != puts.len() {
            return Err(format!("{} items, {} of them distinct; 1 to 100 are allowed", puts.len(), distinct.len()));
        }
        if puts.iter().map(|put| put.size).sum::<usize>() > MAX_TRANSACTION {
            return Err("the transaction has more than 4 MB".to_owned());
        }
        match self.tokens.get(&token) {
            // "Multiple TransactWriteItems calls with the same token are idempotent."
            Some(earlier) if earlier == body => return Ok(ok(&json!({}))),
            Some(_) => return Err(format!("the token {token} was used for another transaction")),
            None => {}
        }
        let failed: Vec<bool> = puts.iter().map(|put| !holds(&put.condition, self.items.get(&put.place))).collect();
        if failed.contains(&true) {
            return Ok(self.cancelled(&puts, &failed));
        }
        self.tokens.insert(token, body.clone());
        self.items.extend(puts.into_iter().map(|put| (put.place, put.item)));
        Ok(ok(&json!({})))
    }

    fn cancelled(&self, puts: &[Put], failed: &[bool]) -> ResponseTemplate {
        let reason = |(put, failed): (&Put, &bool)| match (failed, self.items.get(&put.place)) {
            (false, _) => json!({"Code": "None"}),
            (true, None) => json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}),
            (true, Some(item)) => {
                json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": item})
            }
        };
        let reasons: Vec<Value> = puts.iter().zip(failed).map(reason).collect();
        let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        let mut answer = json!({ "CancellationReasons": reasons });
        // This one exception spells its message with a capital letter.
        answer["Message"] = json!(message);
        error(400, "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", &message, &answer)
    }

    fn put(&mut self, body: &Value) -> Result<Put, String> {
        let allowed = [
            "TableName",
            "Item",
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ReturnValuesOnConditionCheckFailure",
        ];
        let put = fields(body, &allowed)?;
        own_table(put)?;
        let item = put.get("Item").unwrap_or(&Value::Null);
        let item = fields(item, &["pk", "sk", "schema", "version", "nonce", "expires_at", "item"])?.clone();
        let place = place(&json!({"pk": item.get("pk"), "sk": item.get("sk")}))?;
        for name in ["schema", "version", "nonce", "item"] {
            item.get(name).ok_or_else(|| format!("the item {place:?} has no {name}"))?;
        }
        let size = weight(&item)?;
        if size > MAX_ITEM {
            return Err(format!("the item {place:?} has {size} bytes"));
        }
        let condition = self.condition(put, &item)?;
        Ok(Put { place, item, size, condition })
    }

    fn condition(&mut self, put: &Map<String, Value>, item: &Map<String, Value>) -> Result<Condition, String> {
        let (names, values) = (put.get("ExpressionAttributeNames"), put.get("ExpressionAttributeValues"));
        let returned = put.get("ReturnValuesOnConditionCheckFailure").and_then(Value::as_str);
        let Some(expression) = put.get("ConditionExpression").and_then(Value::as_str) else {
            let begins = |key: &str, prefix: &str| item[key]["S"].as_str().is_some_and(|text| text.starts_with(prefix));
            let is_plan = begins("sk", "plan#");
            let is_open = item["pk"]["S"] == "open";
            let is_record = begins("sk", "decision#") || begins("pk", "app#") && begins("sk", "run#");
            return match (names, values, returned) {
                // A part of a plan follows from its key, and so does a run that is opened, and the record of that and of each
                // decision; everything else was read before it is written.
                (None, None, None) if is_plan || is_open || is_record => Ok(Condition::None),
                (None, None, None) => Err(format!("an unconditional write of {:?}", item["sk"])),
                _ => Err("names or values without a condition".to_owned()),
            };
        };
        self.expressions.insert(expression.to_owned());
        if returned != Some("ALL_OLD") {
            return Err("a condition that does not tell what blocked it".to_owned());
        }
        match expression {
            ABSENT if names == Some(&json!({"#pk": "pk"})) && values.is_none() => Ok(Condition::Absent),
            VERSION if names == Some(&json!({"#version": "version"})) => {
                let values = fields(values.unwrap_or(&Value::Null), &[":version"])?;
                let version = values.get(":version").cloned().ok_or("no :version")?;
                let count = |value: &Value| value.get("N")?.as_str()?.parse::<u64>().ok();
                if count(&version).map(|version| version + 1) != item.get("version").and_then(count) {
                    return Err(format!("the version after {version} is {:?}", item.get("version")));
                }
                Ok(Condition::Version(version))
            }
            other => Err(format!("the ledger has no condition {other}")),
        }
    }
}

fn holds(condition: &Condition, stored: Option<&Map<String, Value>>) -> bool {
    match condition {
        Condition::None => true,
        Condition::Absent => stored.is_none(),
        Condition::Version(version) => stored.and_then(|item| item.get("version")) == Some(version),
    }
}

fn own_table(body: &Map<String, Value>) -> Result<(), String> {
    match text(body, "TableName")? {
        TABLE => Ok(()),
        other => Err(format!("there is no table {other}")),
    }
}

fn consistent(body: &Map<String, Value>) -> Result<(), String> {
    match body.get("ConsistentRead") {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err("the ledger reads consistently".to_owned()),
    }
}

fn place(key: &Value) -> Result<Place, String> {
    let key = fields(key, &["pk", "sk"])?;
    let part = |name: &str, most: usize| {
        let text = key.get(name).and_then(|value| value.get("S")).and_then(Value::as_str).unwrap_or_default();
        // "1 to 2048 bytes" and "1 to 1024 bytes" (Developer Guide, "Constraints").
        (1..=most).contains(&text.len()).then(|| text.to_owned()).ok_or_else(|| format!("{name} is no key: {key:?}"))
    };
    Ok((part("pk", 2048)?, part("sk", 1024)?))
}

/// The size of an item, about as DynamoDB counts it; an error when it is not one.
fn weight(item: &Map<String, Value>) -> Result<usize, String> {
    item.iter().map(|(name, value)| Ok(name.len() + value_weight(value)?)).sum()
}

fn value_weight(value: &Value) -> Result<usize, String> {
    let wrong = || format!("not an attribute value: {value}");
    let object = value.as_object().filter(|object| object.len() == 1).ok_or_else(wrong)?;
    let Some((kind, value)) = object.iter().next() else { return Err(wrong()) };
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => Ok(text.len()),
        ("N", Value::String(digits)) if digits.parse::<f64>().is_ok_and(f64::is_finite) => Ok(digits.len()),
        ("BOOL", Value::Bool(_)) | ("NULL", Value::Bool(true)) => Ok(1),
        ("M", Value::Object(members)) => weight(members).map(|size| size + 3),
        ("L", Value::Array(members)) => members.iter().map(value_weight).sum::<Result<usize, _>>().map(|size| size + 3),
        _ => Err(wrong()),
    }
}
