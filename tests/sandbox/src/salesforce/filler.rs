//! Objects of no further interest: an org lists many hundreds, and an import must cope with all of them.

use super::generate::Source;
use super::schema::{Field, Kind, Object, PLAIN, Traits};

/// Objects that cannot be queried without particular filters (contract, section 11).
pub const RESTRICTED: [&str; 31] = [
    "Announcement",
    "AppTabMember",
    "CollaborationGroupRecord",
    "ColorDefinition",
    "ContentDocumentLink",
    "ContentFolderItem",
    "ContentFolderMember",
    "DataStatistics",
    "DatacloudDandBCompany",
    "EntityParticle",
    "FieldDefinition",
    "FieldHistoryArchive",
    "FlexQueueItem",
    "FlowVariableView",
    "FlowVersionView",
    "IconDefinition",
    "IdeaComment",
    "ListViewChartInstance",
    "NetworkUserHistoryRecent",
    "OwnerChangeOptionInfo",
    "PicklistValueInfo",
    "PlatformAction",
    "RelationshipDomain",
    "RelationshipInfo",
    "SearchLayout",
    "SiteDetail",
    "UserEntityAccess",
    "UserFieldAccess",
    "UserRecordAccess",
    "Vote",
    "ActivityMetric",
];

/// Activities and notes that exist only as sub-queries of their parents.
const CHILDREN_ONLY: [&str; 3] = ["ActivityHistory", "OpenActivity", "NoteAndAttachment"];

const FIRST: [&str; 20] = [
    "Asset",
    "Campaign",
    "Contract",
    "Order",
    "Price",
    "Quote",
    "Service",
    "Work",
    "Partner",
    "Process",
    "Report",
    "Territory",
    "Survey",
    "Invoice",
    "Shipment",
    "Location",
    "Resource",
    "Message",
    "Channel",
    "Content",
];
const SECOND: [&str; 16] = [
    "Item", "Share", "History", "Feed", "Tag", "Member", "Status", "Type", "Line", "Rule", "Group", "Setting",
    "Version", "Template", "Record", "Detail",
];

/// `count` objects, the special ones first.
pub fn objects(count: usize) -> Vec<Object> {
    let read_only = Traits { createable: false, updateable: false, deletable: false, replicateable: false, ..PLAIN };
    let unqueryable = Traits { queryable: false, ..read_only };
    let mut named: Vec<(String, Traits)> = Vec::new();
    named.extend(RESTRICTED.iter().map(|n| ((*n).to_owned(), read_only)));
    named.extend(CHILDREN_ONLY.iter().map(|n| ((*n).to_owned(), unqueryable)));
    named.extend(
        ["Account", "Contact", "Lead", "Every_Type__"].iter().map(|n| (format!("{n}ChangeEvent"), unqueryable)),
    );
    named.extend(
        ["Order_Placed__e", "Stock_Low__e"]
            .iter()
            .map(|n| ((*n).to_owned(), Traits { createable: true, ..unqueryable })),
    );
    named.extend(["Tax_Rate__mdt", "Route__mdt"].iter().map(|n| ((*n).to_owned(), read_only)));
    named.extend(["Archive__b", "Click__b"].iter().map(|n| ((*n).to_owned(), read_only)));
    named.push(("App_Settings__c".to_owned(), Traits { custom_setting: true, ..PLAIN }));
    let mut n = 0;
    while named.len() < count {
        let words = format!("{}{}", FIRST[n % FIRST.len()], SECOND[n / FIRST.len() % SECOND.len()]);
        let generation = n / (FIRST.len() * SECOND.len());
        let name = match generation {
            0 => words,
            1 => format!("{words}__c"),
            2 => format!("My_{words}__c"),
            g => format!("Extra{g}_{words}__c"),
        };
        let traits = match n % 23 {
            7 => unqueryable,
            11 => Traits { hidden: true, ..read_only },
            17 => read_only,
            _ => PLAIN,
        };
        named.push((name, traits));
        n += 1;
    }
    named.truncate(count);
    named.into_iter().enumerate().map(|(i, (name, traits))| object(&name, i).traits(traits)).collect()
}

fn object(name: &str, number: usize) -> Object {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // Prefixes from z00 on belong to no real object here.
    let prefix = format!("z{}{}", DIGITS[number / 36 % 36] as char, DIGITS[number % 36] as char);
    let own = vec![
        Field::new("Name", Kind::Text, Source::Serial("Item ")).length(80).required().with(|f| f.name_field = true),
        Field::new("Note", Kind::Text, Source::Odd),
        Field::new("Amount", Kind::Double, Source::Decimal),
    ];
    let own = own.into_iter().map(|mut field| {
        if name.ends_with("__c") && field.name != "Name" {
            field.name.push_str("__c");
            field.custom = true;
        }
        field
    });
    Object::new(name, &prefix, &format!("{name} records"), own.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn filler_objects_have_names_and_prefixes_of_their_own() {
        let objects = objects(900);
        assert_eq!(objects.iter().map(|o| o.name.to_ascii_lowercase()).collect::<HashSet<_>>().len(), 900);
        assert_eq!(objects.iter().map(|o| o.prefix).collect::<HashSet<_>>().len(), 900);
    }
}
