//! The objects of the org that hold records: the standard ones that every org has, and custom ones made to be
//! awkward.

use super::generate::Source::{self, *};
use super::schema::{Field, Kind, Object, PLAIN, Traits};
use super::value::Value;

pub const FIRST_NAMES: &[&str] = &[
    "Ada",
    "ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "José",
    "Zoë",
    "Søren",
    "O'Neil",
    "Mary Ann",
    "李",
    "Łukasz",
    "Anne-Marie",
    "Tim",
    "TIM",
    "Radia",
    "Frances",
    "Ken",
];
const LAST_NAMES: &[&str] = &[
    "Lovelace",
    "Hopper",
    "Turing",
    "Dijkstra",
    "Liskov",
    "Knuth",
    "O'Brien",
    "García",
    "d'Arc",
    "Müller",
    "Nguyễn",
    "van Dyke",
    "Smith",
    "SMITH",
    "smith",
    "Perlman",
    "Allen",
    "Thompson",
    "Ritchie",
    "Back\\slash",
    "100%",
    "Under_score",
    "Å",
    "Ng",
    "🙂 Smiley",
];
const COMPANIES: &[&str] = &[
    "Acme",
    "ACME",
    "acme",
    "Globex",
    "Initech",
    "Umbrella",
    "O'Reilly",
    "Stark \"Industries\"",
    "Wayne & Sons",
    "Café Noir",
    "100% Pure",
    "Under_score",
    "Hooli",
    "Vehement",
    "Massive Dynamic",
    " Soylent",
    "Tyrell ",
    "Zebra",
    "zebra",
];
const FORMS: &[&str] = &["Inc", "Ltd", "GmbH", "S.A.", "LLC", "Co", "Group", "Holdings"];
const CITIES: &[&str] =
    &["San Francisco", "Berlin", "München", "São Paulo", "東京", "New York", "L'Aquila", "Zürich", "berlin"];
const STATES: &[&str] = &["CA", "NY", "Bayern", "SP", "Tokyo"];
const COUNTRIES: &[&str] = &["USA", "Germany", "Brasil", "Japan", "Italia", "Switzerland"];
const POSTCODES: &[&str] = &["94105", "10115", "80331", "01310-100", "100-0001", "00001"];
const STREETS: &[&str] =
    &["1 Market St", "Unter den Linden 77\n2nd floor", "Marienplatz 8", "Av. Paulista, 1578", "5th Ave #12"];
const SUBJECTS: &[&str] = &[
    "Call",
    "Email",
    "Send \"quote\"",
    "O'Brien's request",
    "Follow up\ttomorrow",
    "100% done?",
    "Meeting",
    "meeting",
];

pub const SALUTATIONS: &[&str] = &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];
const LEAD_SOURCES: &[&str] = &["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const INDUSTRIES: &[&str] = &["Agriculture", "Banking", "Biotechnology", "Energy", "Retail", "Technology", "Other"];
const LEVELS: &[&str] = &["Tertiary", "Secondary", "Primary"];
const LANGUAGES: &[&str] = &["English", "Deutsch", "Français", "日本語", "Português"];
const STAGES: &[&str] = &["Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won", "Closed Lost"];
const RATINGS: &[&str] = &["Hot", "Warm", "Cold"];
const LETTERS: &[&str] = &["A", "B", "C", "a b", "D'E"];

/// The objects with records of their own.
pub fn objects() -> Vec<Object> {
    vec![
        account(),
        contact(),
        opportunity(),
        lead(),
        case(),
        user(),
        task(),
        event(),
        product(),
        email_message(),
        every_type(),
        Object::new(
            "Empty__c",
            "a01",
            "Empties",
            vec![name(80, Odd).required(), Field::new("Note__c", Kind::Text, Odd)],
        ),
        group_heavy(),
        unstamped(),
    ]
}

fn text(name: &str, length: u32, source: Source) -> Field {
    Field::new(name, Kind::Text, source).length(length)
}

fn name(length: u32, source: Source) -> Field {
    text("Name", length, source).with(|f| f.name_field = true)
}

fn picklist(name: &str, values: &'static [&'static str]) -> Field {
    Field::new(name, Kind::Picklist, Picklist).values(values)
}

fn long(name: &str) -> Field {
    Field::new(name, Kind::LongText, Long)
}

fn owner() -> Field {
    // Left out on create, the owner is the one who creates.
    Field::reference("OwnerId", "Owner", &["User"], Reference).required().with(|f| f.defaulted = true)
}

fn flag(name: &str, share: u8) -> Field {
    Field::new(name, Kind::Boolean, Flag(share))
}

/// The compound name and its parts.
fn person_name(last_required: bool) -> Vec<Field> {
    let last = text("LastName", 80, Pool(LAST_NAMES)).part_of("Name");
    vec![
        if last_required { last.required() } else { last },
        text("FirstName", 40, Pool(FIRST_NAMES)).part_of("Name"),
        picklist("Salutation", SALUTATIONS).length(40).part_of("Name"),
        Field::computed("Name", Kind::Text, "", full_name).length(121).required().with(|f| {
            f.name_field = true;
            f.defaulted = true;
        }),
    ]
}

fn full_name(get: &dyn Fn(&str) -> Value) -> Value {
    match (get("FirstName"), get("LastName")) {
        (Value::Text(first), Value::Text(last)) => Value::text(format!("{first} {last}")),
        (Value::Null, last) => last,
        (first, _) => first,
    }
}

/// An address: the compound field and its parts, named with this prefix.
fn address(prefix: &'static str, compound: &'static str) -> Vec<Field> {
    let part = |suffix: &str, kind: Kind, source: Source| {
        Field::new(&format!("{prefix}{suffix}"), kind, source).part_of(compound)
    };
    vec![
        part("Street", Kind::TextArea, Pool(STREETS)),
        part("City", Kind::Text, Pool(CITIES)).length(40),
        part("State", Kind::Text, Pool(STATES)).length(80),
        part("PostalCode", Kind::Text, Pool(POSTCODES)).length(20),
        part("Country", Kind::Text, Pool(COUNTRIES)).length(80),
        part("Latitude", Kind::Double, Amount(-90, 90)).digits(18, 15).nulls(128),
        part("Longitude", Kind::Double, Amount(-180, 180)).digits(18, 15).nulls(128),
        part("GeocodeAccuracy", Kind::Picklist, None).values(&["Address", "City", "Zip"]).length(40),
        Field::new(compound, Kind::Address, None),
    ]
}

fn join(parts: impl IntoIterator<Item = Vec<Field>>) -> Vec<Field> {
    parts.into_iter().flatten().collect()
}

fn account() -> Object {
    let fields = join([
        vec![
            Field::reference("MasterRecordId", "MasterRecord", &["Account"], None).read_only(),
            name(255, Pair(COMPANIES, FORMS)).required(),
            picklist("Type", &["Prospect", "Customer - Direct", "Partner", "Other"]),
            Field::reference("ParentId", "Parent", &["Account"], Reference).nulls(200),
        ],
        address("Billing", "BillingAddress"),
        address("Shipping", "ShippingAddress"),
        vec![
            Field::new("Phone", Kind::Phone, Phone),
            Field::new("Website", Kind::Url, Url),
            picklist("Industry", INDUSTRIES),
            Field::new("AnnualRevenue", Kind::Currency, Amount(-1_000_000, 9_000_000_000)).digits(18, 0),
            Field::new("NumberOfEmployees", Kind::Int, Whole(0, 250_000)).with(|f| f.precision = 8),
            long("Description"),
            picklist("Rating", RATINGS),
            owner(),
            text("AccountNumber", 40, Serial("AC-")),
            flag("Active__c", 200),
            text("ERP_Key__c", 40, Serial("ERP-A")).external_id(),
            Field::new("X2ndValue__c", Kind::Double, Decimal).digits(10, 3),
            // Two accounts may have the same one: an external id need not be unique.
            text("Legacy_Code__c", 20, Pool(LETTERS)).with(|f| f.external_id = true),
        ],
    ]);
    Object::new("Account", "001", "Accounts", fields)
}

fn contact() -> Object {
    let fields = join([
        vec![Field::reference("AccountId", "Account", &["Account"], Account).nulls(16).cascading()],
        person_name(true),
        address("Mailing", "MailingAddress"),
        vec![
            Field::new("Phone", Kind::Phone, Phone),
            Field::new("MobilePhone", Kind::Phone, Phone).nulls(128),
            Field::reference("ReportsToId", "ReportsTo", &["Contact"], Reference).nulls(160),
            Field::new("Email", Kind::Email, Email),
            text("Title", 128, Odd),
            text("Department", 80, Odd).nulls(128),
            picklist("LeadSource", LEAD_SOURCES),
            Field::new("Birthdate", Kind::Date, AnyDay),
            long("Description"),
            owner(),
            flag("HasOptedOutOfEmail", 40),
            flag("DoNotCall", 20),
            picklist("Level__c", LEVELS).restricted(),
            Field::new("Languages__c", Kind::MultiPicklist, MultiPicklist).values(LANGUAGES),
            text("ERP_Key__c", 40, Serial("ERP-")).external_id(),
            Field::new("Score__c", Kind::Double, Decimal).digits(18, 6),
        ],
    ]);
    Object::new("Contact", "003", "Contacts", fields)
}

fn opportunity() -> Object {
    let fields = vec![
        Field::reference("AccountId", "Account", &["Account"], Account).nulls(8).cascading(),
        name(120, Pair(COMPANIES, SUBJECTS)).required(),
        long("Description"),
        picklist("StageName", STAGES).required(),
        Field::new("Amount", Kind::Currency, Amount(0, 5_000_000)),
        Field::new("Probability", Kind::Percent, Whole(0, 100)).digits(3, 0),
        Field::new("CloseDate", Kind::Date, Day(2019, 2027)).required(),
        picklist("Type", &["Existing Business", "New Business"]),
        picklist("LeadSource", LEAD_SOURCES),
        Field::computed("IsClosed", Kind::Boolean, "", |get| {
            Value::Bool(stage(get).is_some_and(|s| s.starts_with("Closed")))
        }),
        Field::computed("IsWon", Kind::Boolean, "", |get| Value::Bool(stage(get).is_some_and(|s| s == "Closed Won"))),
        owner(),
        Field::computed("Expected__c", Kind::Currency, "Amount * Probability / 100", |get| {
            match (get("Amount"), get("Probability")) {
                (Value::Number(amount), Value::Number(share)) => {
                    Value::Number(amount.times(share).divided_by(100).round(2))
                }
                _ => Value::Null,
            }
        }),
    ];
    Object::new("Opportunity", "006", "Opportunities", fields)
}

fn stage(get: &dyn Fn(&str) -> Value) -> Option<String> {
    get("StageName").as_text().map(str::to_owned)
}

fn lead() -> Object {
    let fields = join([
        person_name(true),
        vec![text("Title", 128, Odd), text("Company", 255, Pair(COMPANIES, FORMS)).required()],
        address("", "Address"),
        vec![
            Field::new("Phone", Kind::Phone, Phone),
            Field::new("Email", Kind::Email, Email),
            Field::new("Website", Kind::Url, Url),
            long("Description"),
            picklist("LeadSource", LEAD_SOURCES),
            picklist("Status", &["Open", "Working", "Closed"]).required().default(Value::text("Open")),
            picklist("Rating", RATINGS),
            owner(),
            flag("IsConverted", 40).create_only(),
            Field::reference("ConvertedAccountId", "ConvertedAccount", &["Account"], None).read_only(),
        ],
    ]);
    Object::new("Lead", "00Q", "Leads", fields)
}

fn case() -> Object {
    let fields = vec![
        text("CaseNumber", 30, Serial("0000")).required().read_only().with(|f| {
            f.auto_number = true;
            f.name_field = true;
            f.defaulted = true;
        }),
        Field::reference("ContactId", "Contact", &["Contact"], Reference),
        Field::reference("AccountId", "Account", &["Account"], Reference).with(|f| f.label = "Account ID".into()),
        Field::reference("ParentId", "Parent", &["Case"], Reference).nulls(220),
        text("Subject", 255, Pool(SUBJECTS)),
        picklist("Status", &["New", "Working", "Escalated", "Closed"]).default(Value::text("New")),
        picklist("Priority", &["High", "Medium", "Low"]).default(Value::text("Medium")),
        picklist("Origin", &["Phone", "Email", "Web"]),
        Field::computed("IsClosed", Kind::Boolean, "", |get| Value::Bool(get("Status").as_text() == Some("Closed"))),
        Field::new("ClosedDate", Kind::DateTime, AnyMoment).read_only().nulls(180),
        long("Description"),
        owner(),
    ];
    Object::new("Case", "500", "Cases", fields)
}

fn user() -> Object {
    let fields = join([
        vec![text("Username", 80, Serial("user")).required().with(|f| f.unique = true)],
        person_name(true),
        vec![
            Field::new("Email", Kind::Email, Email).required(),
            text("Alias", 8, Serial("")).required(),
            flag("IsActive", 230),
            picklist("TimeZoneSidKey", &["GMT", "America/Los_Angeles", "Europe/Berlin"]).required().restricted(),
            picklist("LanguageLocaleKey", &["en_US", "de", "pt_BR"]).required().restricted(),
            Field::reference("ManagerId", "Manager", &["User"], Reference).nulls(128),
            Field::new("LastLoginDate", Kind::DateTime, AnyMoment).read_only(),
        ],
    ]);
    // Users are deactivated, never deleted.
    Object::new("User", "005", "Users", fields).traits(Traits { deletable: false, ..PLAIN })
}

fn activity() -> Vec<Field> {
    vec![
        Field::reference("WhoId", "Who", &["Contact", "Lead"], Reference).nulls(64),
        Field::reference("WhatId", "What", &["Account", "Opportunity", "Case", "Product2"], Reference).nulls(64),
        Field::new("Subject", Kind::Combobox, Pool(SUBJECTS)).values(&["Call", "Email", "Meeting", "Other"]),
        Field::new("ActivityDate", Kind::Date, Day(2020, 2027)),
        long("Description"),
        owner(),
    ]
}

fn task() -> Object {
    let own = vec![
        picklist("Status", &["Not Started", "In Progress", "Completed"]).required().default(Value::text("Not Started")),
        picklist("Priority", &["High", "Normal", "Low"]).required().default(Value::text("Normal")),
        Field::computed("IsClosed", Kind::Boolean, "", |get| Value::Bool(get("Status").as_text() == Some("Completed"))),
        Field::new("CallDurationInSeconds", Kind::Int, Whole(0, 7200)).with(|f| f.precision = 8),
    ];
    Object::new("Task", "00T", "Tasks", join([activity(), own]))
}

fn event() -> Object {
    let own = vec![
        text("Location", 255, Pool(CITIES)),
        flag("IsAllDayEvent", 40),
        Field::new("StartDateTime", Kind::DateTime, AnyMoment),
        Field::new("DurationInMinutes", Kind::Int, Whole(0, 1440)).with(|f| f.precision = 8).default(Value::whole(60)),
    ];
    Object::new("Event", "00U", "Events", join([activity(), own]))
}

fn product() -> Object {
    let fields = vec![
        name(255, Odd).required(),
        text("ProductCode", 255, Serial("P-")),
        Field::new("Description", Kind::LongText, Long).length(4000),
        flag("IsActive", 200),
        picklist("Family", &["Hardware", "Software", "Service"]),
        Field::new("DisplayUrl", Kind::Url, Url),
        text("StockKeepingUnit", 180, Serial("SKU-")),
    ];
    Object::new("Product2", "01t", "Products", fields)
}

fn email_message() -> Object {
    let fields = vec![
        Field::reference("ParentId", "Parent", &["Case"], Reference),
        text("Subject", 255, Odd),
        Field::new("TextBody", Kind::LongText, Long),
        Field::new("HtmlBody", Kind::LongText, Long).label("HTML Body").with(|f| f.html = true),
        Field::new("HTMLBody__c", Kind::LongText, Long).length(131_072).with(|f| f.html = true),
        text("FromAddress", 1000, Email),
        text("FromName", 1000, Pool(FIRST_NAMES)),
        flag("Incoming", 128),
        Field::new("MessageDate", Kind::DateTime, AnyMoment),
    ];
    Object::new("EmailMessage", "02s", "Email Messages", fields)
}

/// Every type of field of the contract's table, each with awkward values.
fn every_type() -> Object {
    let fields = vec![
        text("Name", 80, Serial("ET-")).required().read_only().with(|f| {
            f.auto_number = true;
            f.name_field = true;
            f.defaulted = true;
        }),
        owner(),
        text("Text__c", 255, Odd),
        text("Short__c", 10, Odd),
        text("Exact_Key__c", 40, Serial("Key-")).external_id().with(|f| f.case_sensitive = true),
        text("Any_Key__c", 40, Serial("any-")).external_id(),
        Field::new("Number_Key__c", Kind::Double, Whole(0, 999_999_999))
            .digits(18, 0)
            .with(|f| f.external_id = true)
            .nulls(255),
        Field::new("TextArea__c", Kind::TextArea, Odd),
        Field::new("LongText__c", Kind::LongText, Long).length(131_072),
        Field::new("Rich__c", Kind::LongText, Long).with(|f| f.html = true),
        Field::new("Combobox__c", Kind::Combobox, Odd).values(LETTERS),
        picklist("Picklist__c", LETTERS),
        picklist("Restricted__c", LEVELS).restricted(),
        Field::new("Multi__c", Kind::MultiPicklist, MultiPicklist).values(LETTERS),
        Field::new("Email__c", Kind::Email, Email),
        Field::new("Phone__c", Kind::Phone, Phone),
        Field::new("Url__c", Kind::Url, Url),
        flag("Checkbox__c", 128),
        flag("DefaultTrue__c", 128).default(Value::Bool(true)),
        Field::new("Int__c", Kind::Int, Whole(-99_999_999, 99_999_999)).with(|f| f.precision = 8),
        Field::new("Long__c", Kind::Long, Whole(-(1 << 53), 1 << 53)).with(|f| f.precision = 18),
        Field::new("Double__c", Kind::Double, Decimal).digits(18, 8),
        Field::new("Whole__c", Kind::Double, Decimal).digits(18, 0),
        Field::new("Fine__c", Kind::Double, Decimal).digits(18, 15),
        Field::new("Currency__c", Kind::Currency, Decimal).digits(18, 2),
        Field::new("Percent__c", Kind::Percent, Decimal).digits(16, 3),
        Field::new("Date__c", Kind::Date, AnyDay),
        Field::new("DateTime__c", Kind::DateTime, AnyMoment),
        Field::new("Time__c", Kind::Time, Clock),
        Field::new("Place__Latitude__s", Kind::Double, Amount(-90, 90)).digits(18, 15).part_of("Place__c"),
        Field::new("Place__Longitude__s", Kind::Double, Amount(-180, 180)).digits(18, 15).part_of("Place__c"),
        Field::new("Place__c", Kind::Location, None),
        Field::new("Home__Street__s", Kind::TextArea, Pool(STREETS)).part_of("Home__c"),
        Field::new("Home__City__s", Kind::Text, Pool(CITIES)).length(40).part_of("Home__c"),
        Field::new("Home__PostalCode__s", Kind::Text, Pool(POSTCODES)).length(20).part_of("Home__c"),
        Field::new("Home__c", Kind::Address, None),
        Field::new("File__c", Kind::Base64, Binary),
        Field::new("Secret__c", Kind::Encrypted, Serial("4111-1111-")),
        Field::new("Anything__c", Kind::Any, Odd).read_only(),
        Field::reference("Parent__c", "Parent__r", &["Every_Type__c"], Reference),
        Field::reference("Account__c", "Account__r", &["Account"], Reference),
        Field::computed("Formula_Text__c", Kind::Text, "Text__c & \"/\" & Short__c", |get| {
            let part = |name: &str| get(name).as_text().unwrap_or_default().to_owned();
            Value::text(format!("{}/{}", part("Text__c"), part("Short__c")))
        })
        .length(1300),
        Field::computed("Formula_Number__c", Kind::Double, "Currency__c * 2", |get| match get("Currency__c") {
            Value::Number(n) => Value::Number(n.plus(n)),
            _ => Value::Null,
        })
        .digits(18, 2),
    ];
    Object::new("Every_Type__c", "a00", "Every Types", fields)
}

/// Does not tell when its records were changed.
fn unstamped() -> Object {
    let fields = vec![
        name(80, Odd).required(),
        Field::new("Rate__c", Kind::Double, Decimal).digits(12, 4),
        text("Currency__c", 3, Pool(&["EUR", "USD", "JPY", "CHF"])),
    ];
    Object::new("Rate__c", "a03", "Rates", fields).without_stamps()
}

/// Groups by `Key__c` exceed what an aggregate query may return.
fn group_heavy() -> Object {
    let fields = vec![
        name(80, Odd).required(),
        text("Key__c", 40, Serial("group ")),
        Field::new("Bucket__c", Kind::Int, Whole(0, 4)).with(|f| f.precision = 8),
        Field::new("Value__c", Kind::Double, Decimal).digits(12, 2),
    ];
    Object::new("Reading__c", "a02", "Readings", fields)
}
