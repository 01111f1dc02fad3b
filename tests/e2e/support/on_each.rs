//! Tests that are written once and run for several subjects.

/// Makes a test of each function for each subject: `on_each! { of_salesforce: &SALESFORCE, of_airtable: &AIRTABLE; this, that }`.
macro_rules! on_each {
    ($($module:ident: $subject:expr),+; $($test:ident),+ $(,)?) => {
        $crate::support::on_each! { @modules $($module: $subject),+; ($($test),+) }
    };
    (@modules $($module:ident: $subject:expr),+; $tests:tt) => {
        $($crate::support::on_each! { @module $module: $subject; $tests })+
    };
    (@module $module:ident: $subject:expr; ($($test:ident),+)) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $test() {
                    super::$test($subject);
                }
            )+
        }
    };
}

pub(crate) use on_each;
