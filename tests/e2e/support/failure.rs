//! An error as a client sees it, with all its fields.

use postgres::error::DbError;

#[derive(Clone, Debug, Default)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// CONTEXT, which the protocol calls "where".
    pub context: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

impl Failure {
    pub fn of(error: &postgres::Error) -> Failure {
        match error.as_db_error() {
            Some(db) => Failure::reported(db),
            // The connection itself is gone.
            None => Failure { message: error.to_string(), ..Failure::default() },
        }
    }

    /// An error or a notice of the server.
    pub fn reported(db: &DbError) -> Failure {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Failure {
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            detail: text(db.detail()),
            hint: text(db.hint()),
            context: text(db.where_()),
            schema: text(db.schema()),
            table: text(db.table()),
            column: text(db.column()),
            constraint: text(db.constraint()),
        }
    }

    /// Everything it says, for a search through it.
    pub fn everything(&self) -> String {
        format!("{self:?}")
    }

    /// Somewhere in message, detail or hint stands this.
    #[track_caller]
    pub fn mentions(&self, text: &str) -> &Failure {
        assert!(self.everything().contains(text), "does not mention {text:?}: {self:#?}");
        self
    }

    #[track_caller]
    pub fn hints(&self, text: &str) -> &Failure {
        assert!(self.hint.as_deref().is_some_and(|hint| hint.contains(text)), "does not hint at {text:?}: {self:#?}");
        self
    }

    #[track_caller]
    pub fn in_request(&self, request: &str) -> &Failure {
        let wanted = format!("remote request: {request}");
        assert!(
            self.context.as_deref().is_some_and(|context| context.contains(&wanted)),
            "not in {wanted:?}: {self:#?}"
        );
        self
    }
}
