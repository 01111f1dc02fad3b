//! Safe views of what the planner is working on.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::{PgList, is_a, pg_guard, pg_sys};

use super::memory;
use super::node::{self, Node, Shape, named};
use super::version::{self, Estimate};

/// A relation being planned, and the planner run that it belongs to. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct Rel<'p> {
    root: NonNull<pg_sys::PlannerInfo>,
    rel: NonNull<pg_sys::RelOptInfo>,
    planner: PhantomData<&'p ()>,
}

/// One condition that a query puts on a relation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Restriction<'p> {
    info: NonNull<pg_sys::RestrictInfo>,
    planner: PhantomData<&'p ()>,
}

impl<'p> Rel<'p> {
    /// # Safety
    /// Both must be live nodes of one planner run, and stay so for `'p`.
    pub unsafe fn new(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> Option<Self> {
        Some(Rel { root: NonNull::new(root)?, rel: NonNull::new(rel)?, planner: PhantomData })
    }

    fn root(self) -> &'p pg_sys::PlannerInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.root.as_ref() }
    }

    fn rel(self) -> &'p pg_sys::RelOptInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.rel.as_ref() }
    }

    /// Its number in the query.
    pub fn number(self) -> u32 {
        self.rel().relid
    }

    /// Whether it is made of several.
    pub fn is_join(self) -> bool {
        self.rel().reloptkind == pg_sys::RelOptKind::RELOPT_JOINREL
    }

    /// The columns that expressions name, each once.
    pub fn columns(expressions: &[Node<'p>]) -> Vec<Node<'p>> {
        let flags = pg_sys::PVC_INCLUDE_PLACEHOLDERS | pg_sys::PVC_RECURSE_AGGREGATES | pg_sys::PVC_RECURSE_WINDOWFUNCS;
        let mut columns: Vec<Node> = Vec::new();
        for expression in expressions {
            // SAFETY: a live expression.
            let named = unsafe { node::nodes(pg_sys::pull_var_clause(expression.as_ptr(), flags as i32)) };
            for column in named {
                if !columns.iter().any(|known| known.equals(column)) {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// Whether the statement changes and locks nothing, so that no row is ever checked anew.
    pub fn is_only_read(self) -> bool {
        // SAFETY: a planner run has a query.
        let query = unsafe { &*self.root().parse };
        query.commandType == pg_sys::CmdType::CMD_SELECT && query.rowMarks.is_null() && self.root().rowMarks.is_null()
    }

    /// Whether the whole row is asked for by nobody but core, which keeps a copy for a check of the query's joined rows
    /// anew (a local row of them was changed meanwhile). The columns that the query names do for that.
    pub fn row_is_kept_for_checks(self) -> bool {
        // SAFETY: a planner run's own list, and a query's.
        let (marks, query) =
            unsafe { (PgList::<pg_sys::PlanRowMark>::from_pg(self.root().rowMarks), &*self.root().parse) };
        // Of a table of an inheritance tree it is the parent's row that the query may name.
        // SAFETY: live marks.
        let mut marks = marks.iter_ptr().map(|mark| unsafe { &*mark });
        let marked = marks.any(|mark| mark.rti == self.number() && mark.prti == mark.rti && !mark.isParent);
        // SAFETY: the target list that the planner made holds target entries with live expressions.
        let entries = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.root().processed_tlist) };
        let copy = |entry: &&pg_sys::TargetEntry| {
            // SAFETY: likewise.
            let shape = unsafe { Node::new(entry.expr.cast()) }.map(Node::shape);
            entry.resjunk
                && entry.ressortgroupref == 0
                && matches!(shape, Some(Shape::Column { relation, attribute: 0 }) if relation == self.number())
        };
        // SAFETY: likewise.
        let others = entries.iter_ptr().map(|entry| unsafe { &*entry }).filter(|entry| !copy(entry));
        let others = others.map(|entry| entry.expr.cast()).chain([query.returningList.cast()]);
        // SAFETY: likewise.
        let by_query = unsafe { named(self.number(), others) }.contains(&0);
        marked && !by_query && !self.row_is_joined_by()
    }

    /// Whether joins, or sub-queries beside it, need the whole row.
    fn row_is_joined_by(self) -> bool {
        let rel = self.rel();
        let Ok(place) = usize::try_from(-i32::from(rel.min_attr)) else { return true };
        // SAFETY: a base relation has a set for each attribute from the lowest one on; two live sets.
        unsafe {
            let finally = pg_sys::bms_make_singleton(0);
            !pg_sys::bms_is_subset(*rel.attr_needed.add(place), finally)
        }
    }

    /// Whether the query needs nothing of it but columns, and neither do these conditions on it: no whole rows, no
    /// system columns, no expressions that are evaluated below and NULL where an outer join finds nothing.
    pub fn shows_columns_alone(self, conditions: impl IntoIterator<Item = Node<'p>>) -> bool {
        let conditions: Vec<_> = conditions.into_iter().collect();
        let column = |node: Node| matches!(node.shape(), Shape::Column { attribute, .. } if attribute > 0);
        self.target().into_iter().chain(Rel::columns(&conditions)).all(column)
    }

    /// The conditions on this relation alone.
    pub fn restrictions(self) -> Vec<Restriction<'p>> {
        // SAFETY: the restrictions of a live relation.
        unsafe { restrictions(self.rel().baserestrictinfo) }
    }

    /// What the query needs of it, conditions aside.
    pub fn target(self) -> Vec<Node<'p>> {
        // SAFETY: every relation has a target of live expressions.
        unsafe { node::nodes((*self.rel().reltarget).exprs) }
    }

    /// The attributes that expressions name; 0 stands for the whole row.
    pub fn attributes(self, expressions: &[Node<'p>]) -> BTreeSet<i32> {
        // SAFETY: live expressions.
        unsafe { named(self.number(), expressions.iter().map(|expression| expression.as_ptr())) }
    }

    /// The conditions that tell which rows of other relations go with its rows.
    pub fn join_conditions(self) -> Vec<Restriction<'p>> {
        // SAFETY: the join clauses of a live relation.
        unsafe { restrictions(self.rel().joininfo) }
    }

    /// The planner run that it belongs to.
    pub fn run(self) -> NonNull<pg_sys::PlannerInfo> {
        self.root
    }

    /// Whether an expression is the same for all rows of a scan and can be had before the first: it names no
    /// column and no aggregate, calls nothing volatile and holds no sub-plan.
    pub fn known_at_execution(self, expression: Node<'p>) -> bool {
        let expression = expression.as_ptr();
        // SAFETY: a live expression of this query.
        let columns = unsafe { pg_sys::pull_varnos(self.root.as_ptr(), expression) };
        // SAFETY: likewise.
        columns.is_null()
            && !unsafe { pg_sys::contain_agg_clause(expression) }
            // SAFETY: likewise.
            && !unsafe { pg_sys::contain_volatile_functions(expression) }
            // SAFETY: likewise.
            && !unsafe { pg_sys::contain_subplans(expression) }
    }

    /// As [`Rel::known_at_execution`], or known once a row of the other relations of a join is.
    pub fn known_beside(self, expression: Node<'p>) -> bool {
        let expression = expression.as_ptr();
        // SAFETY: a live expression of this query.
        let columns = unsafe { pg_sys::pull_varnos(self.root.as_ptr(), expression) };
        // SAFETY: two live sets.
        !unsafe { pg_sys::bms_overlap(columns, self.rel().relids) }
            // SAFETY: a live expression.
            && !unsafe { pg_sys::contain_volatile_functions(expression) }
            // SAFETY: likewise.
            && !unsafe { pg_sys::contain_subplans(expression) }
    }

    /// Rows of the table: what ANALYZE counted, else what is told here. Rows of the query follow from it.
    pub fn estimate_size(mut self, told: f64) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        let rel = unsafe { self.rel.as_mut() };
        // Since 14 a table that was never analysed is told from an empty one.
        if rel.tuples < 0.0 {
            rel.tuples = told.max(1.0);
        }
        // SAFETY: a live base relation.
        unsafe { pg_sys::set_baserel_size_estimates(self.root.as_ptr(), self.rel.as_ptr()) };
    }

    /// Says how many rows the query gets of it at most.
    pub fn expect_at_most(mut self, rows: f64) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        let rel = unsafe { self.rel.as_mut() };
        rel.rows = rel.rows.min(rows.max(1.0));
    }

    /// Says how many rows there are.
    pub fn expect_exactly(mut self, rows: f64) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        let rel = unsafe { self.rel.as_mut() };
        (rel.rows, rel.tuples) = (rows.max(1.0), rows);
    }

    pub fn tuples(self) -> f64 {
        self.rel().tuples
    }

    /// Rows that the query gets of it.
    pub fn rows(self) -> f64 {
        self.rel().rows
    }

    /// What part of the rows these conditions let through.
    pub fn selectivity(self, of: impl IntoIterator<Item = Restriction<'p>>) -> f64 {
        let conditions = node::list(of.into_iter().map(|restriction| restriction.info.as_ptr()));
        let (number, inner) = (self.number() as i32, pg_sys::JoinType::JOIN_INNER);
        // SAFETY: restrictions of this relation.
        unsafe { pg_sys::clauselist_selectivity(self.root.as_ptr(), conditions, number, inner, ptr::null_mut()) }
    }

    /// What Postgres spends on the relation's conditions: once, and per row.
    pub fn local_cost(self) -> (f64, f64) {
        let cost = self.rel().baserestrictcost;
        // SAFETY: reads a setting.
        (cost.startup, cost.per_tuple + unsafe { pg_sys::cpu_tuple_cost })
    }

    /// Hangs a value on the relation; it is dropped with the planner's memory.
    pub fn keep<T>(mut self, value: T) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        unsafe { self.rel.as_mut() }.fdw_private = memory::keep(self.root().planner_cxt, value).cast();
    }

    /// # Safety
    /// What was kept, if anything, must be a `T`.
    pub unsafe fn kept<T>(self) -> Option<&'p T> {
        // SAFETY: by the contract above; it lives as long as the planner's memory.
        unsafe { self.rel().fdw_private.cast::<T>().as_ref() }
    }

    /// Offers a scan, in the query's order if `ordered`.
    pub fn offer(self, estimate: Estimate, ordered: bool) {
        let keys = if ordered { self.root().query_pathkeys } else { ptr::null_mut() };
        self.add(estimate, keys, self.rel().lateral_relids);
    }

    fn add(self, estimate: Estimate, keys: *mut pg_sys::List, outer: pg_sys::Relids) {
        let (root, rel) = (self.root.as_ptr(), self.rel.as_ptr());
        // SAFETY: live nodes of one planner run.
        let path = unsafe {
            match self.is_join() {
                true => version::create_foreign_join_path(root, rel, estimate, keys, outer),
                false => version::create_foreignscan_path(root, rel, estimate, keys, outer),
            }
        };
        // SAFETY: a path of this relation.
        unsafe { pg_sys::add_path(self.rel.as_ptr(), path.cast()) };
    }

    /// The order that the query needs, if it is one of this relation's own columns by their types' default order: the
    /// columns, which of them descend, and which have NULLs first.
    pub fn wanted_order(self) -> Option<Vec<(Node<'p>, bool, bool)>> {
        // SAFETY: the planner's own list of path keys.
        let keys = unsafe { PgList::<pg_sys::PathKey>::from_pg(self.root().query_pathkeys) };
        // SAFETY: live path keys, with live classes.
        keys.iter_ptr().map(|key| unsafe { self.sort_column(&*key) }).collect()
    }

    /// # Safety
    /// The key must be live.
    unsafe fn sort_column(self, key: &pg_sys::PathKey) -> Option<(Node<'p>, bool, bool)> {
        // SAFETY: a path key has a class of live members.
        let members = unsafe { PgList::<pg_sys::EquivalenceMember>::from_pg((*key.pk_eclass).ec_members) };
        let own = |member: &&pg_sys::EquivalenceMember| {
            // SAFETY: two live sets.
            !member.em_is_const && unsafe { pg_sys::bms_is_subset(member.em_relids, self.rel().relids) }
        };
        // SAFETY: live members.
        let member = members.iter_ptr().map(|member| unsafe { &*member }).find(own)?;
        // SAFETY: a live expression.
        let column = unsafe { Node::new(member.em_expr.cast()) }?;
        // SAFETY: a look-up in the type cache, which outlives the statement.
        let entry = unsafe { pg_sys::lookup_type_cache(column.type_oid(), pg_sys::TYPECACHE_BTREE_OPFAMILY as i32) };
        // SAFETY: a live entry.
        let natural = unsafe { (*entry).btree_opf } == key.pk_opfamily;
        natural.then_some((column, version::descends(key), key.pk_nulls_first))
    }

    /// Equalities with columns of other relations, one list for each set of such relations.
    pub fn joined_by(self, may: impl Fn(Restriction<'p>) -> bool) -> Vec<Outer> {
        let mut outers: Vec<Outer> = Vec::new();
        for restriction in self.movable_clauses() {
            // SAFETY: live sets of the planner.
            let others = unsafe { pg_sys::bms_difference(restriction.info().clause_relids, self.rel().relids) };
            // SAFETY: likewise.
            let known = |outer: &Outer| unsafe { pg_sys::bms_equal(outer.relids, others) };
            if !others.is_null() && !outers.iter().any(known) && may(restriction) {
                // SAFETY: likewise.
                let relids = unsafe { pg_sys::bms_union(others, self.rel().lateral_relids) };
                outers.push(Outer { relids });
            }
        }
        outers
    }

    /// The join clauses that a scan of this relation could test, given rows of the others.
    fn movable_clauses(self) -> Vec<Restriction<'p>> {
        let (root, rel) = (self.root.as_ptr(), self.rel.as_ptr());
        let mut clauses = self.join_conditions();
        // SAFETY: live restrictions and a live relation.
        clauses.retain(|clause| unsafe { pg_sys::join_clause_is_movable_to(clause.info.as_ptr(), rel) });
        // SAFETY: the planner's own list of classes.
        let classes = unsafe { PgList::<pg_sys::EquivalenceClass>::from_pg(self.root().eq_classes) };
        // SAFETY: live classes.
        for class in classes.iter_ptr().map(|class| unsafe { &*class }).filter(|class| !class.ec_has_volatile) {
            // SAFETY: a class has live members.
            let members = unsafe { PgList::<pg_sys::EquivalenceMember>::from_pg(class.ec_members) };
            for member in members.iter_ptr() {
                // SAFETY: a live member and two live sets.
                if unsafe { pg_sys::bms_equal((*member).em_relids, self.rel().relids) } {
                    let callback = Some(is_this_member as MemberCallback);
                    // SAFETY: the callback only compares two pointers.
                    clauses.extend(unsafe {
                        restrictions(pg_sys::generate_implied_equalities_for_column(
                            root,
                            rel,
                            callback,
                            member.cast(),
                            self.rel().lateral_referencers,
                        ))
                    });
                }
            }
        }
        clauses
    }

    /// Offers a scan for each row of other relations. `cost` tells what one costs, given the conditions that come
    /// with such a row and how many rows Postgres expects of one.
    pub fn offer_joined(self, outer: &Outer, cost: impl FnOnce(Vec<Restriction<'p>>, f64) -> (f64, Estimate)) {
        // SAFETY: live nodes of one planner run; what comes back lives as long.
        let info = unsafe { pg_sys::get_baserel_parampathinfo(self.root.as_ptr(), self.rel.as_ptr(), outer.relids) };
        // SAFETY: see above.
        let Some(info) = (unsafe { info.as_mut() }) else { return };
        // SAFETY: its clauses are restrictions of the planner's.
        let (rows, estimate) = cost(unsafe { restrictions(info.ppi_clauses) }, info.ppi_rows);
        info.ppi_rows = rows;
        self.add(estimate, ptr::null_mut(), outer.relids);
    }

    /// How many groups its rows fall into.
    pub fn groups(self, keys: &[Node<'p>]) -> f64 {
        if keys.is_empty() {
            return 1.0;
        }
        let keys = node::list(keys.iter().map(|key| key.as_ptr()));
        let (none, rows) = (ptr::null_mut(), self.rows());
        // SAFETY: live expressions over this relation.
        unsafe { pg_sys::estimate_num_groups(self.root.as_ptr(), keys, rows, none, ptr::null_mut()) }
    }

    /// GROUP BY and aggregates of the query level; `None` where they are more than one set of groups. `self` is the
    /// relation of the groups.
    pub fn grouping(self, wanted: &pg_sys::GroupPathExtraData) -> Option<Grouping<'p>> {
        // SAFETY: a planner run has a query.
        let query = unsafe { &*self.root().parse };
        if !query.groupingSets.is_null() {
            return None;
        }
        // SAFETY: live clauses, and the target list that they refer to.
        let keys =
            unsafe { node::nodes(pg_sys::get_sortgrouplist_exprs(query.groupClause, self.root().processed_tlist)) };
        // SAFETY: null, or a list of live conditions.
        let having = unsafe { node::nodes(wanted.havingQual.cast()) };
        let flags = pg_sys::PVC_INCLUDE_AGGREGATES | pg_sys::PVC_INCLUDE_PLACEHOLDERS;
        let mut needed = Vec::new();
        for expression in self.target().into_iter().chain(having.iter().copied()) {
            if keys.iter().any(|key| key.equals(expression)) {
                needed.push(expression);
                continue;
            }
            // SAFETY: a live expression.
            needed.extend(unsafe { node::nodes(pg_sys::pull_var_clause(expression.as_ptr(), flags as i32)) });
        }
        Some(Grouping { keys, needed, having })
    }

    /// Offers rows that are groups. Should the API decline, they are made as Postgres would make them.
    pub fn offer_groups(self, estimate: Estimate, columns: &[Node<'p>], keys: &[Node<'p>]) {
        let root = self.root.as_ptr();
        // One group is never too many.
        let below = if keys.is_empty() { Some(ptr::null_mut()) } else { self.groups_made_here(columns) };
        let Some(below) = below else { return };
        let target = self.rel().reltarget;
        let none = ptr::null_mut();
        // SAFETY: live nodes of one planner run.
        unsafe {
            let path =
                version::create_foreign_upper_path(root, self.rel.as_ptr(), target, estimate, none, below, none.cast());
            pg_sys::add_path(self.rel.as_ptr(), path.cast());
        }
    }

    /// The best way to make the groups here, with just these columns, keys first, and without HAVING. A copy, since the
    /// planner frees the paths that another one beats.
    fn groups_made_here(self, columns: &[Node<'p>]) -> Option<*mut pg_sys::Path> {
        // SAFETY: paths of a live relation.
        let paths = unsafe { PgList::<pg_sys::Path>::from_pg(self.rel().pathlist) };
        // SAFETY: live paths.
        let is = |path: *mut pg_sys::Path, tag| unsafe { is_a(path.cast(), tag) };
        let (hashed, sorted) = (pg_sys::NodeTag::T_AggPath, pg_sys::NodeTag::T_GroupPath);
        // SAFETY: live paths.
        let cost = |path: &*mut pg_sys::Path| unsafe { (**path).total_cost };
        let paths = paths.iter_ptr().filter(|path| is(*path, hashed) || is(*path, sorted));
        let best = paths.min_by(|one, other| cost(one).total_cmp(&cost(other)))?;
        // SAFETY: the tag was just tested; the target is made of live expressions.
        unsafe {
            let target = pg_sys::create_empty_pathtarget();
            for (at, column) in columns.iter().enumerate() {
                pg_sys::add_column_to_pathtarget(target, column.as_ptr().cast(), self.sort_reference(at));
            }
            let target = pg_sys::set_pathtarget_cost_width(self.root.as_ptr(), target);
            if is(best, hashed) {
                let mut copy = *best.cast::<pg_sys::AggPath>();
                (copy.path.pathtarget, copy.qual) = (target, ptr::null_mut());
                return Some(memory::palloc(copy).cast());
            }
            let mut copy = *best.cast::<pg_sys::GroupPath>();
            (copy.path.pathtarget, copy.qual) = (target, ptr::null_mut());
            Some(memory::palloc(copy).cast())
        }
    }

    /// The mark by which GROUP BY's n-th clause finds its column; 0 beyond the last.
    fn sort_reference(self, at: usize) -> u32 {
        // SAFETY: a planner run has a query, whose clauses are live.
        unsafe {
            let clauses = PgList::<pg_sys::SortGroupClause>::from_pg((*self.root().parse).groupClause);
            clauses.get_ptr(at).map_or(0, |clause| (*clause).tleSortGroupRef)
        }
    }

    /// How many rows the query level takes of this relation, if it stops early: for LIMIT or EXISTS, with nothing
    /// between that needs all rows. `ordered`: whether the rows come in the query's order.
    pub fn few_rows(self, ordered: bool) -> Option<f64> {
        // SAFETY: a planner run has a query.
        let query = unsafe { &*self.root().parse };
        let streams = (query.sortClause.is_null() || ordered)
            && query.distinctClause.is_null()
            && query.groupClause.is_null()
            && query.groupingSets.is_null()
            && !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs;
        // SAFETY: two live sets.
        let alone = unsafe { pg_sys::bms_is_subset(self.root().all_baserels, self.rel().relids) };
        // Below 1 it is a part of the rows, and 0 stands for all.
        (streams && alone).then_some(self.root().tuple_fraction).filter(|rows| *rows >= 1.0)
    }

    /// LIMIT and OFFSET, if they are all that the query does to this relation, but for the order that `ordered` says.
    ///
    /// Anything else between scan and LIMIT, or a LIMIT that is more than a number of rows, makes it `None`.
    pub fn plain_limit(
        self,
        wanted: &pg_sys::FinalPathExtraData,
        ordered: bool,
    ) -> Option<(Node<'p>, Option<Node<'p>>)> {
        // SAFETY: a planner run has a query.
        let query = unsafe { &*self.root().parse };
        let plain = query.commandType == pg_sys::CmdType::CMD_SELECT
            && wanted.limit_needed
            && query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_COUNT
            && query.rowMarks.is_null()
            && (query.sortClause.is_null() || ordered)
            && query.distinctClause.is_null()
            && query.groupClause.is_null()
            && query.groupingSets.is_null()
            && !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs;
        // SAFETY: null, or live expressions of the query.
        let (limit, offset) = unsafe { (Node::new(query.limitCount), Node::new(query.limitOffset)) };
        limit.filter(|_| plain).map(|limit| (limit, offset))
    }

    /// Offers a scan that answers the whole query level; LIMIT and OFFSET travel with the path.
    pub fn offer_final(
        self,
        output: Rel<'p>,
        estimate: Estimate,
        (limit, offset): (Node<'p>, Option<Node<'p>>),
        wanted: &pg_sys::FinalPathExtraData,
    ) {
        let root = self.root.as_ptr();
        let target = self.root().upper_targets[pg_sys::UpperRelationKind::UPPERREL_FINAL as usize];
        let private = node::list([Some(limit), offset].into_iter().flatten().map(|rows| rows.as_ptr()));
        let keys = self.root().sort_pathkeys;
        // SAFETY: live nodes of one planner run.
        let mut path: *mut pg_sys::Path = unsafe {
            version::create_foreign_upper_path(
                root,
                self.rel.as_ptr(),
                target,
                estimate,
                keys,
                ptr::null_mut(),
                private,
            )
            .cast()
        };
        if let Some(offset) = offset {
            // What it lets through beyond OFFSET is Postgres's to count.
            let (skip, most) = (wanted.offset_est, wanted.count_est);
            let option = pg_sys::LimitOption::LIMIT_OPTION_COUNT;
            // SAFETY: live nodes of one planner run.
            path = unsafe {
                pg_sys::create_limit_path(
                    root,
                    output.rel.as_ptr(),
                    path,
                    offset.as_ptr(),
                    limit.as_ptr(),
                    option,
                    skip,
                    most,
                )
            }
            .cast();
        }
        // SAFETY: a path that answers what `output` stands for.
        unsafe { pg_sys::add_path(output.rel.as_ptr(), path) };
    }
}

/// How two relations are joined.
pub struct Join<'p> {
    /// Whether rows of the outer relation stay that have no counterpart: a LEFT join.
    pub optional: bool,
    /// What makes rows of the two counterparts.
    pub links: Vec<Restriction<'p>>,
    /// What is tested on joined rows.
    pub filters: Vec<Restriction<'p>>,
}

impl<'p> Join<'p> {
    /// `None` for joins of other kinds. `rel` is what the two make.
    ///
    /// # Safety
    /// Relation and list must be those of one join, and live as long as `'p`.
    pub unsafe fn new(rel: Rel<'p>, kind: pg_sys::JoinType::Type, conditions: *mut pg_sys::List) -> Option<Self> {
        let optional = match kind {
            pg_sys::JoinType::JOIN_INNER => false,
            pg_sys::JoinType::JOIN_LEFT => true,
            _ => return None,
        };
        // SAFETY: by the contract above.
        let conditions = unsafe { restrictions(conditions) };
        // As RINFO_IS_PUSHED_DOWN of the planner.
        let filters = |restriction: &Restriction<'p>| {
            let info = restriction.info();
            // SAFETY: two live sets.
            info.is_pushed_down || !unsafe { pg_sys::bms_is_subset(info.required_relids, rel.rel().relids) }
        };
        let (filters, links) = conditions.into_iter().partition(|condition| optional && filters(condition));
        Some(Join { optional, links, filters })
    }
}

/// GROUP BY, HAVING and aggregates.
pub struct Grouping<'p> {
    pub keys: Vec<Node<'p>>,
    /// Keys, columns and aggregates that the query names, again and again.
    pub needed: Vec<Node<'p>>,
    pub having: Vec<Node<'p>>,
}

/// Relations whose rows a scan is given one by one.
pub struct Outer {
    relids: pg_sys::Relids,
}

type MemberCallback = unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannerInfo,
    *mut pg_sys::RelOptInfo,
    *mut pg_sys::EquivalenceClass,
    *mut pg_sys::EquivalenceMember,
    *mut c_void,
) -> bool;

#[pg_guard]
unsafe extern "C-unwind" fn is_this_member(
    _root: *mut pg_sys::PlannerInfo,
    _rel: *mut pg_sys::RelOptInfo,
    _class: *mut pg_sys::EquivalenceClass,
    member: *mut pg_sys::EquivalenceMember,
    wanted: *mut c_void,
) -> bool {
    ptr::eq(member.cast(), wanted)
}

impl<'p> Restriction<'p> {
    fn info(self) -> &'p pg_sys::RestrictInfo {
        // SAFETY: live while planning lasts: see `restrictions`.
        unsafe { self.info.as_ref() }
    }

    /// The condition itself.
    pub fn condition(self) -> Option<Node<'p>> {
        // SAFETY: the clause of a live restriction.
        unsafe { Node::new(self.info().clause.cast()) }
    }

    /// A condition without columns: Postgres tests it once, before the scan.
    pub fn is_gate(self) -> bool {
        self.info().pseudoconstant
    }
}

/// # Safety
/// The list must be null or hold `RestrictInfo`s that live as long as `'p`.
pub unsafe fn restrictions<'p>(list: *mut pg_sys::List) -> Vec<Restriction<'p>> {
    // SAFETY: by the contract above.
    let list = unsafe { PgList::<pg_sys::RestrictInfo>::from_pg(list) };
    let restriction = |info| Some(Restriction { info: NonNull::new(info)?, planner: PhantomData });
    list.iter_ptr().filter_map(restriction).collect()
}

/// A path that won.
pub struct WonPath<'p> {
    path: NonNull<pg_sys::ForeignPath>,
    planner: PhantomData<&'p ()>,
}

impl<'p> WonPath<'p> {
    /// # Safety
    /// The path must be one of this wrapper's and live as long as `'p`.
    pub unsafe fn new(path: *mut pg_sys::ForeignPath) -> Option<Self> {
        Some(WonPath { path: NonNull::new(path)?, planner: PhantomData })
    }

    fn path(&self) -> &'p pg_sys::ForeignPath {
        // SAFETY: live by the contract of `new`.
        unsafe { self.path.as_ref() }
    }

    /// The expressions that the scan's output is made of.
    pub fn target(&self) -> Vec<Node<'p>> {
        // SAFETY: every path has a target of live expressions.
        unsafe { node::nodes((*self.path().path.pathtarget).exprs) }
    }

    /// LIMIT and OFFSET, as [`Rel::offer_final`] sent them along.
    pub fn rows(&self) -> (Option<Node<'p>>, Option<Node<'p>>) {
        // SAFETY: null, or a list of live expressions.
        let rows = unsafe { node::nodes(self.path().fdw_private) };
        (rows.first().copied(), rows.get(1).copied())
    }

    /// Whether it promises the query's order.
    pub fn is_ordered(&self) -> bool {
        !self.path().path.pathkeys.is_null()
    }

    /// The conditions that come with each row of other relations.
    pub fn joined_by(&self) -> Vec<Restriction<'p>> {
        // SAFETY: null, or live while planning lasts.
        let info = unsafe { self.path().path.param_info.as_ref() };
        // SAFETY: its clauses are restrictions of the planner's.
        info.map(|info| unsafe { restrictions(info.ppi_clauses) }).unwrap_or_default()
    }
}
