//! Planning GROUP BY and aggregate functions that the API applies.
//!
//! The groups come as rows of a scan, in place of the records. What the API can say of HAVING goes along, and all of it is
//! tested here, where expressions over the groups are evaluated. Only
//! execution shows whether the API declines, for too many groups, so the plan without pushdown stands ready below.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-UPPER-PLANNING>

use pgrx::pg_sys;

use super::datum;
use super::lower::Lowering;
use super::node::Node;
use super::plan::{Plan, Relation, Wanted, Way};
use super::planner::{Grouping as Shape, Rel};
use super::scan_plan::{Output, ScanPlan};
use super::settings;
use super::version::Estimate;
use crate::error::Result;
use crate::query::ask::{Aggregate, Function, Grouping, Read};
use crate::schema::Field;
use crate::value::Type;

/// More groups than an API is likely to tell of in one answer.
const MAX_GROUPS: f64 = 2_000.0;

/// A scan whose rows are groups. Hangs on the relation of the groups.
pub struct Grouped<'p> {
    /// What the rows have: keys, then aggregates.
    columns: Vec<Node<'p>>,
    outputs: Vec<Output>,
    grouping: Grouping,
    way: Way<'p>,
    /// HAVING, tested here.
    having: Vec<Node<'p>>,
    table: u32,
    object: String,
}

/// Offers to let the API make the groups, where they are those that Postgres would make.
pub fn paths<'p>(
    rel: Rel<'p>,
    relation: &Relation<'p>,
    output: Rel<'p>,
    shape: &Shape<'p>,
) -> Result<Option<Grouped<'p>>> {
    if !settings::pushdown() || !relation.way.all_exact() {
        return Ok(None);
    }
    let lowering = Lowering::new(rel, &relation.source);
    let Some((mut grouping, outputs, columns)) = group(&lowering, shape) else { return Ok(None) };
    let fields = grouping.cells();
    let aggregates = columns.iter().zip(&outputs).skip(shape.keys.len()).filter(|(_, output)| output.per.is_none());
    let cells: Vec<_> = aggregates.map(|(column, output)| (*column, fields[output.cell].clone())).collect();
    let mut lowering = Lowering::of_groups(rel, &relation.source, &cells);
    grouping.having = shape.having.iter().map(|condition| lowering.condition(*condition)).collect();
    let args = lowering.args;
    let way = Way::new(rel, relation, Wanted { grouping: Some(grouping.clone()), args, ..Wanted::default() })?;
    grouping.having.clone_from(&way.access.having);
    let groups = rel.groups(&shape.keys);
    if !way.all_exact() || !way.access.grouped || groups > MAX_GROUPS {
        return Ok(None);
    }
    let (startup, all) = way.cost(groups);
    let estimate = Estimate { rows: groups, startup, total: all };
    let table = relation.source.table();
    let (table, object) = (table.oid.to_u32(), table.object.name.clone());
    output.offer_groups(estimate, &columns, &shape.keys);
    let having = shape.having.clone();
    Ok(Some(Grouped { columns, outputs, grouping, way, having, table, object }))
}

/// Makes the plan.
pub fn plan<'p>(grouped: &Grouped<'p>) -> Plan<'p> {
    let read = Read {
        grouping: Some(grouped.grouping.clone()),
        ..grouped.way.read(&grouped.object, grouped.grouping.cells())
    };
    let scan = ScanPlan { read, table: grouped.table, outputs: grouped.outputs.clone() };
    let (local, args, columns) = (grouped.having.clone(), grouped.way.args.clone(), grouped.columns.clone());
    Plan { local, recheck: Vec::new(), args, scan, columns }
}

/// The groups in neutral words, and which cells of a group the scan's rows show; `None` if they cannot be said.
fn group<'p>(lowering: &Lowering<'_, 'p>, shape: &Shape<'p>) -> Option<(Grouping, Vec<Output>, Vec<Node<'p>>)> {
    let keys: Option<Vec<Field>> = shape.keys.iter().map(|key| lowering.sorted(*key).cloned()).collect();
    let mut grouping = Grouping { keys: keys?, aggregates: Vec::new(), having: Vec::new() };
    let mut columns = shape.keys.clone();
    let mut outputs: Vec<(usize, Option<usize>)> = (0..columns.len()).map(|cell| (cell, None)).collect();
    for needed in &shape.needed {
        if columns.iter().any(|column| column.equals(*needed)) {
            continue;
        }
        let call = needed.aggregate()?;
        let field = match call.argument {
            Some(argument) => Some(lowering.sorted(argument)?.clone()),
            None => None,
        };
        let mut cell = |function, ty| {
            let aggregate = Aggregate { function, field: field.clone(), ty };
            let aggregates = &mut grouping.aggregates;
            let at = aggregates.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
                aggregates.push(aggregate);
                aggregates.len() - 1
            });
            shape.keys.len() + at
        };
        let result = datum::column_type(needed.type_oid());
        outputs.push(match kind(call.function, call.distinct)? {
            Kind::Plain(function) => (cell(function, result), None),
            Kind::Average => (cell(Function::Sum, Type::Decimal), Some(cell(Function::Count, Type::Int))),
        });
        columns.push(*needed);
    }
    let output = |(at, (cell, per)): (usize, &(usize, Option<usize>))| {
        let (place, ty) = (i16::try_from(at + 1).ok()?, columns[at].type_oid().to_u32());
        Some(Output { place, ty, modifier: -1, cell: *cell, per: *per })
    };
    let outputs: Option<Vec<_>> = outputs.iter().enumerate().map(output).collect();
    Some((grouping, outputs?, columns))
}

/// What an aggregate function is made of.
#[derive(Clone, Copy)]
enum Kind {
    Plain(Function),
    /// A sum, divided by a count.
    Average,
}

/// The aggregate functions that mean the same to an API, by OID: <https://www.postgresql.org/docs/current/catalog-pg-proc.html>.
/// Sums and averages of floating-point numbers are not among them: their last digits depend on the order.
fn kind(function: pg_sys::Oid, distinct: bool) -> Option<Kind> {
    Some(match (function.to_u32(), distinct) {
        (2803 | 2147, false) => Kind::Plain(Function::Count),
        (2147, true) => Kind::Plain(Function::CountDistinct),
        // Of int8, int4, int2, numeric.
        (2107 | 2108 | 2109 | 2114, false) => Kind::Plain(Function::Sum),
        (2100..=2103, false) => Kind::Average,
        // Of int8, int4, int2, date, time, timestamptz, numeric.
        (2115 | 2116 | 2117 | 2122 | 2123 | 2127 | 2130, _) => Kind::Plain(Function::Max),
        (2131 | 2132 | 2133 | 2138 | 2139 | 2143 | 2146, _) => Kind::Plain(Function::Min),
        _ => return None,
    })
}
