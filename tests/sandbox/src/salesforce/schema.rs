//! Objects and fields, as the org knows them. What a field can do follows from its type by the contract's table
//! (section 3.2), so it is computed here and not written down per field.

use std::collections::HashMap;

use super::generate::Source;
use super::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Id,
    Reference,
    Text,
    TextArea,
    /// Long text area, and rich text where `Field::html` is set.
    LongText,
    Picklist,
    MultiPicklist,
    Combobox,
    Email,
    Phone,
    Url,
    Boolean,
    Int,
    Long,
    Double,
    Currency,
    Percent,
    Date,
    DateTime,
    Time,
    Address,
    Location,
    Base64,
    Encrypted,
    Any,
}

impl Kind {
    /// The `type` of a describe.
    pub fn api_name(self) -> &'static str {
        match self {
            Kind::Id => "id",
            Kind::Reference => "reference",
            Kind::Text => "string",
            Kind::TextArea | Kind::LongText => "textarea",
            Kind::Picklist => "picklist",
            Kind::MultiPicklist => "multipicklist",
            Kind::Combobox => "combobox",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Url => "url",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::Currency => "currency",
            Kind::Percent => "percent",
            Kind::Date => "date",
            Kind::DateTime => "datetime",
            Kind::Time => "time",
            Kind::Address => "address",
            Kind::Location => "location",
            Kind::Base64 => "base64",
            Kind::Encrypted => "encryptedstring",
            Kind::Any => "anyType",
        }
    }

    pub fn soap_type(self) -> &'static str {
        match self {
            Kind::Id | Kind::Reference => "tns:ID",
            Kind::Boolean => "xsd:boolean",
            Kind::Int => "xsd:int",
            Kind::Long => "xsd:long",
            Kind::Double | Kind::Currency | Kind::Percent => "xsd:double",
            Kind::Date => "xsd:date",
            Kind::DateTime => "xsd:dateTime",
            Kind::Time => "xsd:time",
            Kind::Address => "urn:address",
            Kind::Location => "urn:location",
            Kind::Base64 => "xsd:base64Binary",
            Kind::Any => "xsd:anyType",
            _ => "xsd:string",
        }
    }

    /// The name of the literal's type in error messages.
    pub fn literal_name(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Int | Kind::Long => "int",
            Kind::Double | Kind::Currency | Kind::Percent => "double",
            Kind::Date => "date",
            Kind::DateTime => "dateTime",
            Kind::Time => "time",
            _ => "string",
        }
    }

    pub fn is_number(self) -> bool {
        matches!(self, Kind::Int | Kind::Long | Kind::Double | Kind::Currency | Kind::Percent)
    }

    pub fn is_id(self) -> bool {
        matches!(self, Kind::Id | Kind::Reference)
    }

    pub fn is_compound(self) -> bool {
        matches!(self, Kind::Address | Kind::Location)
    }

    /// Types that LIKE takes.
    pub fn is_textual(self) -> bool {
        matches!(
            self,
            Kind::Text
                | Kind::TextArea
                | Kind::Picklist
                | Kind::Combobox
                | Kind::Email
                | Kind::Phone
                | Kind::Url
                | Kind::Any
        )
    }
}

/// Computes a formula from the other fields of its record.
pub type Formula = fn(&dyn Fn(&str) -> Value) -> Value;

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    pub length: u32,
    pub precision: u32,
    pub scale: u32,
    pub nillable: bool,
    pub createable: bool,
    pub updateable: bool,
    pub defaulted: bool,
    pub default: Value,
    pub unique: bool,
    pub external_id: bool,
    pub case_sensitive: bool,
    pub custom: bool,
    pub name_field: bool,
    pub html: bool,
    pub auto_number: bool,
    pub restricted: bool,
    pub picklist: &'static [&'static str],
    pub references: &'static [&'static str],
    pub relationship: Option<String>,
    /// Deleting the referenced record deletes this one.
    pub cascade: bool,
    /// The compound field that this one is a part of.
    pub compound: Option<&'static str>,
    pub formula: Option<(&'static str, Formula)>,
    pub source: Source,
    /// Of 256 generated records, how many have no value here.
    pub nulls: u8,
}

impl Field {
    pub fn new(name: &str, kind: Kind, source: Source) -> Field {
        let (length, precision, scale) = match kind {
            Kind::Id | Kind::Reference => (18, 0, 0),
            Kind::Text | Kind::TextArea | Kind::Picklist | Kind::Combobox | Kind::Url => (255, 0, 0),
            Kind::LongText => (32_000, 0, 0),
            Kind::MultiPicklist => (4099, 0, 0),
            Kind::Email => (80, 0, 0),
            Kind::Phone => (40, 0, 0),
            Kind::Encrypted => (175, 0, 0),
            Kind::Double | Kind::Currency => (0, 18, 2),
            Kind::Percent => (0, 5, 2),
            _ => (0, 0, 0),
        };
        let custom = name.ends_with("__c") || name.ends_with("__s");
        let writable = !kind.is_compound();
        let boolean = kind == Kind::Boolean;
        Field {
            label: name.trim_end_matches("__c").trim_end_matches("__s").replace('_', " "),
            name: name.to_owned(),
            kind,
            length,
            precision,
            scale,
            nillable: !boolean,
            createable: writable,
            updateable: writable,
            // A boolean is never null: it begins as false.
            defaulted: boolean,
            default: if boolean { Value::Bool(false) } else { Value::Null },
            unique: false,
            external_id: false,
            case_sensitive: false,
            custom,
            name_field: false,
            html: false,
            auto_number: false,
            restricted: false,
            picklist: &[],
            references: &[],
            relationship: None,
            cascade: false,
            compound: None,
            formula: None,
            source,
            nulls: if boolean { 0 } else { 28 },
        }
    }

    pub fn reference(name: &str, relationship: &str, to: &'static [&'static str], source: Source) -> Field {
        let mut field = Field::new(name, Kind::Reference, source);
        field.references = to;
        field.relationship = Some(relationship.to_owned());
        field
    }

    pub fn computed(name: &str, kind: Kind, text: &'static str, formula: Formula) -> Field {
        let mut field = Field::new(name, kind, Source::Formula).read_only();
        field.formula = Some((text, formula));
        field
    }

    pub fn label(mut self, label: &str) -> Field {
        self.label = label.to_owned();
        self
    }

    pub fn length(mut self, length: u32) -> Field {
        self.length = length;
        self
    }

    pub fn digits(mut self, precision: u32, scale: u32) -> Field {
        self.precision = precision;
        self.scale = scale;
        self
    }

    pub fn required(mut self) -> Field {
        self.nillable = false;
        self.nulls = 0;
        self
    }

    pub fn read_only(mut self) -> Field {
        self.createable = false;
        self.updateable = false;
        self
    }

    pub fn create_only(mut self) -> Field {
        self.updateable = false;
        self
    }

    pub fn default(mut self, value: Value) -> Field {
        self.default = value;
        self.defaulted = true;
        self
    }

    pub fn external_id(mut self) -> Field {
        self.external_id = true;
        self.unique = true;
        self
    }

    pub fn values(mut self, values: &'static [&'static str]) -> Field {
        self.picklist = values;
        self
    }

    pub fn restricted(mut self) -> Field {
        self.restricted = true;
        self
    }

    pub fn part_of(mut self, compound: &'static str) -> Field {
        self.compound = Some(compound);
        self
    }

    pub fn cascading(mut self) -> Field {
        self.cascade = true;
        self
    }

    pub fn nulls(mut self, of_256: u8) -> Field {
        self.nulls = of_256;
        self
    }

    /// Changes what the methods above do not cover.
    pub fn with(mut self, set: impl FnOnce(&mut Field)) -> Field {
        set(&mut self);
        self
    }

    pub fn calculated(&self) -> bool {
        self.formula.is_some() && self.compound.is_none() && !self.name_field
    }

    pub fn filterable(&self) -> bool {
        !matches!(self.kind, Kind::LongText | Kind::Base64 | Kind::Encrypted)
    }

    pub fn sortable(&self) -> bool {
        self.filterable() && !self.kind.is_compound() && self.kind != Kind::MultiPicklist
    }

    pub fn groupable(&self) -> bool {
        self.sortable()
            && !self.calculated()
            && !matches!(
                self.kind,
                Kind::Combobox | Kind::Double | Kind::Currency | Kind::Percent | Kind::DateTime | Kind::Any
            )
    }

    pub fn aggregatable(&self) -> bool {
        self.sortable()
            && !matches!(self.kind, Kind::Boolean | Kind::Time)
            && !(self.name == "ActivityDate" && self.kind == Kind::Date)
    }

    /// Whether `GET …/{field}/{value}` and upserts take it.
    pub fn id_lookup(&self) -> bool {
        self.kind == Kind::Id || self.external_id
    }

    /// Must a create name it?
    pub fn required_on_create(&self) -> bool {
        self.createable && !self.nillable && !self.defaulted
    }

    pub fn polymorphic(&self) -> bool {
        self.references.len() > 1
    }
}

/// What of an object is unusual; most objects are plain.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    pub queryable: bool,
    pub createable: bool,
    pub updateable: bool,
    pub deletable: bool,
    pub replicateable: bool,
    pub hidden: bool,
    pub custom_setting: bool,
}

pub const PLAIN: Traits = Traits {
    queryable: true,
    createable: true,
    updateable: true,
    deletable: true,
    replicateable: true,
    hidden: false,
    custom_setting: false,
};

#[derive(Clone, Debug)]
pub struct Object {
    pub name: String,
    pub label: String,
    pub plural: String,
    pub prefix: [u8; 3],
    pub fields: Vec<Field>,
    pub traits: Traits,
    by_name: HashMap<String, usize>,
    by_relationship: HashMap<String, usize>,
    /// Where the fields that every object has stand.
    pub deleted: usize,
    pub created: usize,
    /// Without these an object does not tell when its records were changed.
    pub modified: Option<usize>,
    pub stamp: Option<usize>,
}

impl Object {
    /// An object with its own fields between the ones every object has.
    pub fn new(name: &str, prefix: &str, plural: &str, own: Vec<Field>) -> Object {
        let mut fields = vec![
            Field::new("Id", Kind::Id, Source::Id).required().read_only().with(|f| f.defaulted = true),
            Field::new("IsDeleted", Kind::Boolean, Source::Deleted).read_only().label("Deleted"),
        ];
        fields.extend(own);
        let user = |name: &str, relationship: &str| {
            Field::reference(name, relationship, &["User"], Source::Reference)
                .required()
                .read_only()
                .with(|f| f.defaulted = true)
        };
        let moment = |name: &str, source: Source| {
            Field::new(name, Kind::DateTime, source).required().read_only().with(|f| f.defaulted = true)
        };
        let created = fields.len();
        fields.push(moment("CreatedDate", Source::Created));
        fields.push(user("CreatedById", "CreatedBy"));
        fields.push(moment("LastModifiedDate", Source::Modified));
        fields.push(user("LastModifiedById", "LastModifiedBy"));
        fields.push(moment("SystemModstamp", Source::Stamp));
        Object::made_of(name, prefix, plural, fields, created)
    }

    /// The same object without the fields that tell when a record was changed.
    pub fn without_stamps(self) -> Object {
        let Object { name, plural, mut fields, created, .. } = self;
        let prefix = String::from_utf8_lossy(&self.prefix).into_owned();
        fields
            .retain(|field| !matches!(field.name.as_str(), "LastModifiedDate" | "LastModifiedById" | "SystemModstamp"));
        Object::made_of(&name, &prefix, &plural, fields, created)
    }

    fn made_of(name: &str, prefix: &str, plural: &str, fields: Vec<Field>, created: usize) -> Object {
        let by_name = fields.iter().enumerate().map(|(i, f)| (f.name.to_ascii_lowercase(), i)).collect();
        let by_relationship = fields
            .iter()
            .enumerate()
            .filter_map(|(i, f)| Some((f.relationship.as_ref()?.to_ascii_lowercase(), i)))
            .collect();
        let mut key = [b'0'; 3];
        key.copy_from_slice(prefix.as_bytes());
        Object {
            name: name.to_owned(),
            label: name.trim_end_matches("__c").replace('_', " "),
            plural: plural.to_owned(),
            prefix: key,
            traits: PLAIN,
            by_name,
            by_relationship,
            deleted: 1,
            created,
            modified: fields.iter().position(|field| field.name == "LastModifiedDate"),
            stamp: fields.iter().position(|field| field.name == "SystemModstamp"),
            fields,
        }
    }

    pub fn traits(mut self, traits: Traits) -> Object {
        self.traits = traits;
        self
    }

    /// A field by its name, in any case.
    pub fn field(&self, name: &str) -> Option<usize> {
        match self.by_name.get(name) {
            Some(at) => Some(*at),
            None => self.by_name.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    /// The reference field of a relationship (`Account`, `Parent__r`), in any case.
    pub fn relationship(&self, name: &str) -> Option<usize> {
        self.by_relationship.get(&name.to_ascii_lowercase()).copied()
    }

    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// The parts of a compound field.
    pub fn parts<'a>(&'a self, compound: &'a str) -> impl Iterator<Item = (usize, &'a Field)> {
        self.fields.iter().enumerate().filter(move |(_, f)| f.compound == Some(compound))
    }
}

/// All objects of the org.
pub struct Schema {
    pub objects: Vec<Object>,
    by_name: HashMap<String, usize>,
    by_prefix: HashMap<[u8; 3], usize>,
}

impl Schema {
    pub fn new(objects: Vec<Object>) -> Schema {
        let by_name = objects.iter().enumerate().map(|(i, o)| (o.name.to_ascii_lowercase(), i)).collect();
        let by_prefix = objects.iter().enumerate().map(|(i, o)| (o.prefix, i)).collect();
        Schema { objects, by_name, by_prefix }
    }

    /// An object by its name, in any case.
    pub fn object(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    pub fn by_prefix(&self, prefix: [u8; 3]) -> Option<usize> {
        self.by_prefix.get(&prefix).copied()
    }
}
