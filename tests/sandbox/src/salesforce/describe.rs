//! Describes: what the org says of its objects and fields, with every key of the contract's section 3.

use serde_json::{Value as Json, json};

use super::Call;
use super::error::{ApiError, Result};
use super::schema::{Field, Kind, Object, Schema};
use super::value::Value;
use crate::http::{Request, Response};
use crate::time;

/// The schema never changes while the sandbox runs, and a restart must not look like a change.
pub const LAST_CHANGE: i64 = time::day(2024, 1, 15) as i64 * time::DAY;

impl Call<'_> {
    /// `GET /sobjects`
    pub fn describe_global(&self, request: &Request) -> Response {
        if unchanged(request, LAST_CHANGE) {
            return Response::empty(304);
        }
        let objects: Vec<Json> = self.org.schema.objects.iter().map(|o| self.summary(o)).collect();
        stamped(
            Response::value(200, &json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects })),
            "global",
        )
    }

    /// `GET /sobjects/{object}/describe`
    pub fn describe(&self, request: &Request, name: &str) -> Result<Response> {
        let schema = &self.org.schema;
        let object = &schema.objects[self.object(name)?];
        if unchanged(request, LAST_CHANGE) {
            return Ok(Response::empty(304));
        }
        let mut json = self.summary(object);
        let base = format!("/services/data/{}/sobjects/{}", self.version, object.name);
        json["urls"]["uiDetailTemplate"] = json!(format!("/{{ID}}?object={}", object.name));
        json["urls"]["compactLayouts"] = json!(format!("{base}/describe/compactLayouts"));
        let more = json!({
            "actionOverrides": [],
            "childRelationships": children(schema, object),
            "compactLayoutable": true,
            "defaultImplementation": null,
            "extendedBy": null,
            "extendsInterfaces": null,
            "fields": object.fields.iter().map(field).collect::<Vec<_>>(),
            "implementedBy": null,
            "implementsInterfaces": null,
            "listviewable": null,
            "lookupLayoutable": null,
            "namedLayoutInfos": [],
            "networkScopeFieldName": null,
            "recordTypeInfos": [{
                "active": true,
                "available": true,
                "defaultRecordTypeMapping": true,
                "developerName": "Master",
                "master": true,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
                "urls": { "layout": format!("{base}/describe/layouts/012000000000000AAA") },
            }],
            "searchLayoutable": true,
            "supportedScopes": [{ "label": format!("All {}", object.plural), "name": "everything" }],
        });
        if let (Json::Object(json), Json::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        Ok(stamped(Response::value(200, &json), &object.name))
    }

    pub fn summary_of(&self, object: usize) -> Json {
        self.summary(&self.org.schema.objects[object])
    }

    fn summary(&self, object: &Object) -> Json {
        let base = format!("/services/data/{}/sobjects/{}", self.version, object.name);
        let traits = object.traits;
        let plain = traits.queryable && traits.createable;
        let prefix = String::from_utf8_lossy(&object.prefix).into_owned();
        json!({
            "activateable": false,
            "associateEntityType": null,
            "associateParentEntity": null,
            "createable": traits.createable,
            "custom": object.is_custom(),
            "customSetting": traits.custom_setting,
            "deepCloneable": false,
            "deletable": traits.deletable,
            "deprecatedAndHidden": traits.hidden,
            "feedEnabled": plain && !object.is_custom(),
            "hasSubtypes": false,
            "isInterface": false,
            "isSubtype": false,
            "keyPrefix": if object.name.ends_with("ChangeEvent") { Json::Null } else { json!(prefix) },
            "label": object.label,
            "labelPlural": object.plural,
            "layoutable": plain,
            "mergeable": matches!(object.name.as_str(), "Account" | "Contact" | "Lead" | "Case"),
            "mruEnabled": plain,
            "name": object.name,
            "queryable": traits.queryable,
            "replicateable": traits.replicateable,
            "retrieveable": traits.queryable,
            "searchable": plain,
            "triggerable": plain,
            "undeletable": traits.deletable,
            "updateable": traits.updateable,
            "urls": {
                "sobject": base,
                "describe": format!("{base}/describe"),
                "rowTemplate": format!("{base}/{{ID}}"),
            },
        })
    }
}

/// Whether `If-Modified-Since` allows an answer without a body.
pub fn unchanged(request: &Request, changed: i64) -> bool {
    request
        .header("If-Modified-Since")
        .and_then(time::parse_http_date)
        .is_some_and(|since| changed / 1000 <= since / 1000)
}

fn stamped(response: Response, name: &str) -> Response {
    // Not a hash of the bytes: the same for equal schemas is all that a cache needs.
    let tag = format!("\"{:x}-{name}\"", LAST_CHANGE / 1000);
    response.with_header("Last-Modified", time::http_date(LAST_CHANGE)).with_header("ETag", tag)
}

fn children(schema: &Schema, parent: &Object) -> Vec<Json> {
    let mut children = Vec::new();
    for child in &schema.objects {
        for field in child.fields.iter().filter(|f| f.references.contains(&parent.name.as_str())) {
            // Audit references have no name to follow from the parent.
            let named = !field.name.ends_with("ById") && field.name != "OwnerId";
            let relationship = match field.relationship.as_deref().and_then(|r| r.strip_suffix("__r")) {
                Some(custom) => format!("{}_{custom}s__r", child.name.trim_end_matches("__c")),
                None => child.plural.replace(' ', ""),
            };
            children.push(json!({
                "cascadeDelete": field.cascade,
                "childSObject": child.name,
                "deprecatedAndHidden": false,
                "field": field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": named.then_some(relationship),
                "restrictedDelete": false,
            }));
        }
    }
    children
}

fn field(field: &Field) -> Json {
    let textual =
        field.kind.is_textual() || matches!(field.kind, Kind::LongText | Kind::MultiPicklist | Kind::Encrypted);
    let byte_length = match field.kind {
        Kind::Id | Kind::Reference => 18,
        _ if textual => field.length * 3,
        _ => 0,
    };
    let int = matches!(field.kind, Kind::Int | Kind::Long);
    let default = match &field.default {
        Value::Bool(b) => json!(b),
        Value::Text(text) => json!(text),
        _ => Json::Null,
    };
    let values: Vec<Json> = field
        .picklist
        .iter()
        .map(|v| json!({ "active": true, "defaultValue": field.default.as_text() == Some(v), "label": v, "validFor": null, "value": v }))
        .collect();
    let formula =
        field.calculated().then(|| field.formula.map(|(text, _)| text)).flatten().filter(|text| !text.is_empty());
    json!({
        "aggregatable": field.aggregatable(),
        "aiPredictionField": false,
        "autoNumber": field.auto_number,
        "byteLength": byte_length,
        "calculated": field.calculated(),
        "calculatedFormula": formula,
        "cascadeDelete": field.cascade,
        "caseSensitive": field.case_sensitive,
        "compoundFieldName": field.compound,
        "controllerName": null,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": default,
        "defaultValueFormula": null,
        "defaultedOnCreate": field.defaulted,
        "dependentPicklist": false,
        "deprecatedAndHidden": false,
        "digits": if int { field.precision.max(8) } else { 0 },
        "displayLocationInDecimal": field.kind == Kind::Location,
        "encrypted": field.kind == Kind::Encrypted,
        "externalId": field.external_id,
        "extraTypeInfo": match (field.kind, field.html) {
            (Kind::LongText, true) => json!("richtextarea"),
            (Kind::LongText, false) => json!("plaintextarea"),
            _ => Json::Null,
        },
        "filterable": field.filterable(),
        "filteredLookupInfo": null,
        "formulaTreatNullNumberAsZero": false,
        "groupable": field.groupable(),
        "highScaleNumber": false,
        "htmlFormatted": field.html,
        "idLookup": field.id_lookup(),
        "inlineHelpText": null,
        "label": field.label,
        "length": if textual || field.kind.is_id() { field.length } else { 0 },
        "mask": (field.kind == Kind::Encrypted).then_some("lastFour"),
        "maskType": (field.kind == Kind::Encrypted).then_some("asterisk"),
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": field.polymorphic(),
        "nillable": field.nillable,
        "permissionable": field.nillable && !field.kind.is_id(),
        "picklistValues": values,
        "polymorphicForeignKey": field.polymorphic(),
        "precision": if int { 0 } else { field.precision },
        "queryByDistance": field.kind.is_compound(),
        "referenceTargetField": null,
        "referenceTo": field.references,
        "relationshipName": field.relationship,
        "relationshipOrder": null,
        "restrictedDelete": false,
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "searchPrefilterable": field.kind == Kind::Reference,
        "soapType": field.kind.soap_type(),
        "sortable": field.sortable(),
        "type": field.kind.api_name(),
        "unique": field.unique,
        "updateable": field.updateable,
        "writeRequiresMasterRead": false,
    })
}

impl Call<'_> {
    /// An object by name, or the 404 of an unknown one.
    pub fn object(&self, name: &str) -> Result<usize> {
        self.org.schema.object(name).ok_or_else(ApiError::not_found)
    }
}
