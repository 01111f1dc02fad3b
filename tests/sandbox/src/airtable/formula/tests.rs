//! The evaluator, a test for each rule of the contract's section 5.

use std::collections::BTreeMap;

use super::{Ctx, Invalid, Regexes, Scope, Val, number_text, parse, parse_moment, text};
use crate::airtable::base::{Base, Cell, Record};
use crate::airtable::id::Id;
use crate::airtable::sample;
use crate::airtable::switches::Switches;
use crate::time::{DAY, day};

const NOON: i64 = day(2024, 5, 31) as i64 * DAY + 12 * 3_600_000;

/// The first base, and a person with few cells filled: text, numbers, a check, choices, dates.
struct World {
    base: Base,
    table: usize,
    record: Record,
    rules: Switches,
}

impl World {
    fn new() -> World {
        let base = sample::bases(1, &BTreeMap::new()).swap_remove(0);
        let table = base.table("People").unwrap();
        let mut record = Record {
            id: Id::named("rec", "the one"),
            created: NOON,
            creator: 0,
            modified: None,
            number: 7,
            comments: 0,
            cells: Vec::new(),
            touched: Vec::new(),
        };
        let company = base.data[base.table("Companies").unwrap()].records.values().next().unwrap().id;
        for (name, cell) in [
            ("Name", Cell::Text("Ada 😀 Lovelace".into())),
            ("Notes", Cell::Text("back\\slash 'quoted'\nline".into())),
            ("Age", Cell::Number(36.0)),
            ("Score", Cell::Number(0.0)),
            ("Active", Cell::Checked),
            ("Status", Cell::Text("Done".into())),
            ("Skills", Cell::Choices(vec!["SQL".into(), "Rust".into()])),
            ("Born", Cell::Date(day(2024, 5, 31))),
            ("Last seen", Cell::Moment(NOON)),
            ("Company", Cell::Links(vec![company])),
        ] {
            record.write(base.tables[table].field(name).unwrap(), cell, (NOON, 0));
        }
        record.modified = None;
        record.touched.clear();
        World { base, table, record, rules: Switches::default() }
    }

    /// The value of a formula as text, `#ERROR!` among them.
    fn eval(&self, formula: &str) -> String {
        let regexes = Regexes::default();
        let ctx = Ctx { base: &self.base, rules: &self.rules, now: NOON, regexes: &regexes };
        let expr = parse(formula, &self.base.tables[self.table], &self.rules);
        let expr = expr.unwrap_or_else(|e| panic!("{formula}: {}", e.message()));
        match Scope::new(ctx, self.table, &self.record).eval(&expr) {
            Val::Bool(on) => on.to_string(),
            value => text(&value).into_owned(),
        }
    }

    fn invalid(&self, formula: &str) -> Invalid {
        match parse(formula, &self.base.tables[self.table], &self.rules) {
            Ok(_) => panic!("{formula} is valid"),
            Err(invalid) => invalid,
        }
    }

    #[track_caller]
    fn check(&self, pairs: &[(&str, &str)]) {
        for (formula, wanted) in pairs {
            assert_eq!(self.eval(formula), *wanted, "{formula}");
        }
    }

    fn switched(mut self, set: impl FnOnce(&mut Switches)) -> World {
        set(&mut self.rules);
        self
    }
}

#[test]
fn operators_bind_as_in_a_spreadsheet() {
    World::new().check(&[
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("-2+5", "3"),
        ("1-2-3", "-4"),
        ("1&2+3", "15"),
        ("'a'&1=1&''", "false"),
        ("1+1=2", "true"),
        ("7/2", "3.5"),
        ("1/0", "Infinity"),
        ("0/0", "NaN"),
        ("-1/0", "-Infinity"),
        ("'x'+1", "#ERROR!"),
        ("0.1+0.2", "0.30000000000000004"),
    ]);
}

#[test]
fn strings_have_their_escapes_and_nothing_else() {
    let it = World::new();
    it.check(&[
        (r"'it\'s'", "it's"),
        (r#""say \"x\"""#, "say \"x\""),
        (r"'a\\b\n\t'", "a\\b\n\t"),
        ("'\"'&\"'\"", "\"'"),
        ("{Notes}=\"back\\\\slash 'quoted'\\nline\"", "true"),
    ]);
    for formula in ["'open", r"'\x'", "1e5", "1 2", "", "(", "FIND('a')", "NOPE(1)", "{Age", "AND()", "1=", "#"] {
        assert_eq!(it.invalid(formula), Invalid::Formula, "{formula}");
    }
}

#[test]
fn fields_are_found_by_id_and_by_name_and_unknown_ones_are_named_in_lower_case() {
    let it = World::new();
    let age = it.base.tables[it.table].fields[it.base.tables[it.table].field("Age").unwrap()].id;
    it.check(&[
        (&format!("{{{age}}}+0"), "36"),
        ("{age}", "36"),
        ("Age", "36"),
        ("{Last seen}&''", "2024-05-31T12:00:00.000Z"),
    ]);
    let unknown = it.invalid("AND({Foo}=1,{Age}=2,BarBaz)");
    assert_eq!(unknown.message(), "The formula for filtering records is invalid: Unknown field names: foo, barbaz");
    assert_eq!(
        it.invalid("1+").message(),
        "The formula for filtering records is invalid: Invalid formula. Please check your formula text."
    );
}

#[test]
fn braces_are_escaped_only_if_switched_on() {
    let mut it = World::new();
    it.table = it.base.table(sample::ODD_TABLE).unwrap();
    assert!(matches!(it.invalid(r"{closing \} brace}=''"), Invalid::Formula));
    let it = it.switched(|s| s.brace_escapes = true);
    it.check(&[(r"{closing \} brace}=''", "true")]);
}

#[test]
fn equality_minds_the_case_unless_switched() {
    let it = World::new();
    it.check(&[("{Status}='Done'", "true"), ("{Status}='done'", "false"), ("{Status}!='done'", "true")]);
    it.check(&[("EXACT({Status},'Done')", "true"), ("EXACT({Status},'done')", "false")]);
    it.switched(|s| s.equals_ignores_case = true).check(&[("{Status}='done'", "true")]);
}

#[test]
fn a_blank_equals_zero_and_the_empty_text_unless_switched() {
    let it = World::new();
    it.check(&[
        ("{Email}=BLANK()", "true"),
        ("{Email}=''", "true"),
        ("{Name}!=BLANK()", "true"),
        ("{Salary}=BLANK()", "true"),
        ("{Salary}=0", "true"),
        ("{Score}=BLANK()", "true"),
        ("{Salary}&''=''", "true"),
        ("{Score}&''=''", "false"),
        ("{Salary}<1", "true"),
        ("{Salary}>=0", "true"),
        ("{Email}!='x'", "true"),
        ("{Photos}=BLANK()", "true"),
        ("{Meeting}=BLANK()", "true"),
        ("{Born}=BLANK()", "false"),
    ]);
    let it = it.switched(|s| s.blank_is_zero = false);
    it.check(&[
        ("{Salary}=BLANK()", "true"),
        ("{Score}=BLANK()", "false"),
        ("{Salary}=0", "false"),
        ("{Salary}<1", "false"),
        ("{Salary}>=0", "false"),
    ]);
    let it = it.switched(|s| s.blank_is_not_equal = false);
    it.check(&[("{Email}!='x'", "false"), ("{Name}!='x'", "true"), ("{Name}!=BLANK()", "true")]);
}

#[test]
fn a_checkbox_is_true_or_false_and_not_to_be_compared_with_false() {
    let it = World::new();
    it.check(&[("{Active}", "true"), ("NOT({Active})", "false"), ("{Active}=1", "true"), ("{Active}=TRUE()", "true")]);
    assert_eq!(it.invalid("{Active}=FALSE()"), Invalid::Formula);
    it.switched(|s| s.checkbox_equals_false_invalid = false).check(&[("{Active}=FALSE()", "false")]);
}

#[test]
fn logic_looks_at_truth_and_errors_spread() {
    World::new().check(&[
        ("AND({Age},{Name},{Born})", "true"),
        ("AND({Age},{Score})", "false"),
        ("OR({Email},{Score},'')", "false"),
        ("XOR(1,1,1)", "true"),
        ("NOT('')", "true"),
        ("AND('0',-1)", "true"),
        ("IF({Age}>30,'old','young')", "old"),
        ("IF({Email},'yes')", ""),
        ("OR(TRUE(),ERROR())", "#ERROR!"),
        ("NOT('a'+1)", "#ERROR!"),
        ("('a'+1)=('a'+1)", "#ERROR!"),
        ("ISERROR('a'+1)", "true"),
        ("SWITCH({Status},'To do',1,'Done',2,3)", "2"),
        ("SWITCH({Status},'To do',1,3)", "3"),
    ]);
}

#[test]
fn texts_are_searched_with_and_without_case() {
    World::new().check(&[
        ("FIND('Lovelace',{Name})>0", "true"),
        ("FIND('lovelace',{Name})", "0"),
        ("SEARCH('LOVELACE',{Name})>0", "true"),
        ("SEARCH('x',{Name})", ""),
        ("SEARCH('x',{Name})>0", "false"),
        ("FIND('a','banana',3)", "4"),
        ("FIND('','abc')", "1"),
        ("LEFT({Name},3)='Ada'", "true"),
        ("RIGHT({Name},8)", "Lovelace"),
        ("MID('abcdef',2,3)", "bcd"),
        ("LOWER('ÀB')&UPPER('ß')", "àbSS"),
        ("TRIM('  a ')", "a"),
        ("SUBSTITUTE('aXbXc','X','-')", "a-b-c"),
        ("SUBSTITUTE('aXbXc','X','-',2)", "aXb-c"),
        ("REPLACE('abcdef',2,3,'-')", "a-ef"),
        ("REPT('ab',3)", "ababab"),
        ("CONCATENATE('a',1,{Email})", "a1"),
        ("T(1)&T('x')", "x"),
        ("VALUE('$1,234.5')", "1234.5"),
        ("ENCODE_URL_COMPONENT('a b&é')", "a%20b%26%C3%A9"),
        ("{Age}&''", "36"),
    ]);
}

#[test]
fn find_and_search_mind_the_case_otherwise_if_switched() {
    let it = World::new().switched(|s| {
        s.find_minds_case = false;
        s.search_ignores_case = false;
    });
    it.check(&[("FIND('ADA',{Name})", "1"), ("SEARCH('ADA',{Name})", ""), ("SEARCH('Ada',{Name})", "1")]);
}

#[test]
fn lengths_are_counted_in_utf16_units_unless_switched() {
    let it = World::new();
    it.check(&[("LEN('😀')", "2"), ("LEFT('😀x',1)", "\u{fffd}"), ("LEFT('😀x',2)", "😀"), ("FIND('x','😀x')", "3")]);
    let it = it.switched(|s| s.utf16_lengths = false);
    it.check(&[("LEN('😀')", "1"), ("LEFT('😀x',1)", "😀"), ("FIND('x','😀x')", "2")]);
}

#[test]
fn regular_expressions_are_those_of_re2() {
    World::new().check(&[
        ("REGEX_MATCH({Notes},'(?s)^back.*line$')", "true"),
        ("REGEX_MATCH({Notes},'^back.*line$')", "false"),
        ("REGEX_MATCH('AbC','abc')", "false"),
        ("REGEX_MATCH('AbC','(?i)abc')", "true"),
        ("REGEX_MATCH('é','^\\\\w$')", "false"),
        ("REGEX_MATCH('٣','[\\\\d]')", "false"),
        ("REGEX_MATCH('a','(?=a)')", "#ERROR!"),
        ("REGEX_MATCH('a','(')", "#ERROR!"),
        ("REGEX_EXTRACT('a12b','[0-9]+')", "12"),
        ("REGEX_REPLACE('a1b2','[0-9]','#')", "a#b#"),
    ]);
}

#[test]
fn dates_are_compared_to_the_unit_in_gmt_and_texts_read_as_dates() {
    let it = World::new();
    it.check(&[
        ("IS_SAME({Born},'2024-05-31','day')", "true"),
        ("IS_SAME({Born},'2024-05-31')", "true"),
        ("IS_SAME({Last seen},'2024-05-31')", "false"),
        ("IS_SAME({Last seen},'2024-05-31','day')", "true"),
        ("IS_SAME({Last seen},{Born},'month')", "true"),
        ("IS_AFTER({Last seen},DATETIME_PARSE('2024-05-31T11:59:59.999Z'))", "true"),
        ("IS_BEFORE({Last seen},'2024-05-31T14:00:00+02:00')", "false"),
        ("IS_BEFORE({Born},'2024-06-01')", "true"),
        ("{Born}=DATETIME_PARSE('2024-05-31')", "true"),
        ("{Born}>DATETIME_PARSE('2024-05-30')", "true"),
        ("{Born}='2024-05-31'", "false"),
        ("IS_BEFORE({Meeting},'2024-05-31')", "false"),
        ("NOT(IS_BEFORE({Meeting},'2024-05-31'))", "true"),
        ("IS_SAME({Born},'nonsense')", "#ERROR!"),
        ("CREATED_TIME()&''", "2024-05-31T12:00:00.000Z"),
        ("RECORD_ID()", Id::named("rec", "the one").as_str()),
        ("LAST_MODIFIED_TIME()=CREATED_TIME()", "true"),
        ("IS_SAME(NOW(),TODAY(),'day')", "true"),
    ]);
    let it = it.switched(|s| s.blank_date_is_error = true);
    it.check(&[("IS_BEFORE({Meeting},'2024-05-31')", "#ERROR!")]);
    let it = it.switched(|s| s.parse_date_strings = false);
    it.check(&[
        ("IS_BEFORE({Born},'2024-06-01')", "#ERROR!"),
        ("IS_BEFORE({Born},DATETIME_PARSE('2024-06-01'))", "true"),
    ]);
    let it = World::new().switched(|s| s.zone_offset_minutes = -780);
    it.check(&[("IS_SAME({Last seen},'2024-05-30','day')", "true"), ("IS_SAME({Born},'2024-05-31')", "true")]);
    let it = World::new().switched(|s| s.unmodified_is_created = false);
    it.check(&[("LAST_MODIFIED_TIME()=BLANK()", "true")]);
    let mut it = World::new().switched(|s| s.last_modified_without_field = false);
    it.check(&[("LAST_MODIFIED_TIME()=CREATED_TIME()", "true")]);
    it.table = it.base.table("Companies").unwrap();
    assert_eq!(it.invalid("LAST_MODIFIED_TIME()"), Invalid::Formula);
}

#[test]
fn dates_are_read_written_and_counted() {
    World::new().check(&[
        ("DATETIME_FORMAT({Last seen},'YYYY-MM-DD HH:mm:ss.SSS [at] h A')", "2024-05-31 12:00:00.000 at 12 PM"),
        ("DATETIME_FORMAT({Last seen},'dddd D MMMM YY')", "Friday 31 May 24"),
        ("DATETIME_PARSE('31/05/2024 14:30','DD/MM/YYYY HH:mm')&''", "2024-05-31T14:30:00.000Z"),
        ("DATETIME_PARSE('5/31/2024')&''", "2024-05-31T00:00:00.000Z"),
        ("DATEADD({Born},1,'month')&''", "2024-06-30T00:00:00.000Z"),
        ("DATEADD({Last seen},-90,'minutes')&''", "2024-05-31T10:30:00.000Z"),
        ("DATETIME_DIFF({Last seen},{Born},'hours')", "12"),
        ("DATETIME_DIFF({Last seen},{Born})", "43200"),
        ("DATETIME_DIFF('2024-06-30','2024-05-31','months')", "1"),
        ("DATETIME_DIFF('2024-06-29','2024-05-31','months')", "0"),
        ("YEAR({Born})*100+MONTH({Born})", "202405"),
        ("WEEKDAY({Born})", "5"),
        ("WEEKNUM('2024-01-07')", "2"),
        ("DATESTR({Last seen})&TIMESTR({Last seen})", "2024-05-3112:00:00"),
        ("WORKDAY('2024-05-31',1)&''", "2024-06-03T00:00:00.000Z"),
        ("WORKDAY_DIFF('2024-05-31','2024-06-03')", "2"),
        ("YEAR({Meeting})", ""),
    ]);
    assert_eq!(parse_moment("2024-02-30", 0), None);
    assert_eq!(parse_moment("2024-05-31T12:00", 330), Some(NOON - 330 * 60_000));
    assert_eq!(parse_moment("2024-05-31 12:00:00.5+01:00", 330), Some(NOON - 3_599_500));
}

#[test]
fn links_and_choices_are_lists_that_read_as_joined_texts() {
    let it = World::new();
    let shown = it.eval("{Company}");
    assert!(!shown.starts_with("rec") && !shown.is_empty(), "{shown}");
    it.check(&[
        ("{Skills}='SQL, Rust'", "true"),
        ("FIND('Rust',ARRAYJOIN({Skills},','))>0", "true"),
        ("ARRAYJOIN({Skills},'; ')", "SQL; Rust"),
        ("COUNTA({Skills},{Email},1)", "3"),
        ("ARRAYJOIN(ARRAYSLICE({Skills},-1))", "Rust"),
        ("ARRAYJOIN(ARRAYUNIQUE({Skills},'SQL'))", "SQL, Rust"),
        ("{Projects}=BLANK()", "true"),
    ]);
}

#[test]
fn numbers_have_their_functions() {
    World::new().check(&[
        ("ROUND(2.345,2)&'|'&ROUNDUP(2.1)&'|'&ROUNDDOWN(-2.9)", "2.35|3|-2"),
        ("CEILING(2.1)&'|'&FLOOR(7,5)&'|'&INT(-1.5)", "3|5|-2"),
        ("MOD(-7,3)&'|'&ABS(-2)&'|'&POWER(2,10)&'|'&SQRT(9)", "2|2|1024|3"),
        ("EVEN(3)&'|'&ODD(2)&'|'&EVEN(-1)", "4|3|-2"),
        ("SUM(1,{Age},{Email},'x')&'|'&MAX(1,5,3)&'|'&MIN(4,2)&'|'&AVERAGE(1,3)", "37|5|2|2"),
        ("MOD(VALUE(RIGHT({Number}&'',3)),4)", "3"),
    ]);
    for (number, text) in [(1e21, "1e+21"), (1e-7, "1e-7"), (123456789012345680000.0, "123456789012345680000")] {
        assert_eq!(number_text(number), text);
    }
    assert_eq!((number_text(-0.0), number_text(0.5), number_text(-3.0)), ("0".into(), "0.5".into(), "-3".into()));
}

#[test]
fn computed_fields_are_computed() {
    let it = World::new();
    it.check(&[
        ("{Label}", "Ada 😀 Lovelace (36)"),
        ("{Salary per score}", "NaN"),
        ("{Is adult}", "true"),
        ("{Next review}&''", "2054-05-31T00:00:00.000Z"),
        ("{Project count}", "0"),
        ("{Total budget}", "0"),
        ("{Broken}", "#ERROR!"),
        ("{Number}", "7"),
    ]);
    assert_eq!(it.eval("{Company city}"), it.eval("ARRAYJOIN({Company city})"));
}
