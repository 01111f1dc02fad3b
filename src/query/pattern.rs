//! Patterns of LIKE, in neutral words.
//!
//! Postgres tells letters apart by case and most APIs do not, and nobody knows exactly which letters an API takes
//! for one. All that is relied on is that it finds at least what is the same but for the case of ASCII letters.

use serde::{Deserialize, Serialize};

/// What a text is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// It is this.
    Whole,
    /// It begins with this.
    Prefix,
    /// It is LIKE this.
    Like,
}

/// What is done to a text before it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Case {
    Kept,
    /// `lower(text)`, and what ILIKE does to both of its sides.
    Lower,
    /// `upper(text)`, letter by letter: where one letter becomes two, as `ß` in ICU's collations, this is not it.
    Upper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    Letter(char),
    /// `_`
    One,
    /// `%`
    Any,
}

/// Parts of a text, one after the other. No `%` follows another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Glyph>);

impl Pattern {
    /// `None` for a pattern that ends with an escape character: what that means is for Postgres to say (22025).
    pub fn new(form: Form, text: &str) -> Option<Self> {
        let letters = text.chars().map(Glyph::Letter);
        Some(match form {
            Form::Whole => Pattern(letters.collect()),
            Form::Prefix => Pattern(letters.chain([Glyph::Any]).collect()),
            Form::Like => {
                let mut letters = text.chars();
                let mut glyphs = Vec::with_capacity(text.len());
                while let Some(letter) = letters.next() {
                    glyphs.push(match letter {
                        '%' => Glyph::Any,
                        '_' => Glyph::One,
                        '\\' => Glyph::Letter(letters.next()?),
                        plain => Glyph::Letter(plain),
                    });
                }
                Pattern::of(glyphs)
            }
        })
    }

    fn of(mut glyphs: Vec<Glyph>) -> Self {
        glyphs.dedup_by(|one, other| (*one, *other) == (Glyph::Any, Glyph::Any));
        Pattern(glyphs)
    }

    /// A pattern for the text itself that matches wherever this one matches what `case` makes of the text.
    ///
    /// An ASCII letter comes from the same letter in either case, apart from these, which are not all ASCII:
    /// lower makes `i` of İ and `k` of the Kelvin sign, upper makes `I` of ı and `S` of ſ. Those letters, and all that
    /// are not ASCII, may be anything here. So may the number of letters be: ICU's lower makes two of İ.
    pub fn before(self, case: Case) -> Self {
        let may_be_another = |letter: char| match case {
            Case::Kept => false,
            Case::Lower => !letter.is_ascii() || matches!(letter.to_ascii_lowercase(), 'i' | 'k'),
            Case::Upper => !letter.is_ascii() || matches!(letter.to_ascii_uppercase(), 'I' | 'S'),
        };
        let loosened = |glyph| match glyph {
            Glyph::One if case != Case::Kept => Glyph::Any,
            Glyph::Letter(letter) if may_be_another(letter) => Glyph::Any,
            same => same,
        };
        Pattern::of(self.0.into_iter().map(loosened).collect())
    }

    pub fn glyphs(&self) -> &[Glyph] {
        &self.0
    }

    /// The one text that matches, if there is no more than one.
    pub fn text(&self) -> Option<String> {
        let letter = |glyph: &Glyph| if let Glyph::Letter(letter) = glyph { Some(*letter) } else { None };
        self.0.iter().map(letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a text matches, by Postgres's own definition of LIKE.
    fn matches(text: &[char], glyphs: &[Glyph]) -> bool {
        match (glyphs.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Glyph::Any, after)), _) => (0..=text.len()).any(|from| matches(&text[from..], after)),
            (Some((Glyph::One, after)), Some((_, rest))) => matches(rest, after),
            (Some((Glyph::Letter(wanted), after)), Some((letter, rest))) => wanted == letter && matches(rest, after),
            (Some(_), None) => false,
        }
    }

    fn holds(pattern: &Pattern, text: &str) -> bool {
        matches(&text.chars().collect::<Vec<_>>(), pattern.glyphs())
    }

    #[test]
    fn wildcards_and_escapes_are_read_as_postgres_reads_them() {
        let glyphs = |text| Pattern::new(Form::Like, text).unwrap().0;
        use Glyph::*;
        assert_eq!(
            glyphs(r"a%%_\%\_\\\b"),
            [Letter('a'), Any, One, Letter('%'), Letter('_'), Letter('\\'), Letter('b')]
        );
        assert_eq!(Pattern::new(Form::Like, r"ends\"), None);
        assert_eq!(Pattern::new(Form::Like, r"plain\%").unwrap().text().as_deref(), Some("plain%"));
        assert_eq!(Pattern::new(Form::Like, "a%").unwrap().text(), None);
        assert_eq!(Pattern::new(Form::Whole, "a%\\").unwrap().text().as_deref(), Some("a%\\"));
        assert_eq!(Pattern::new(Form::Prefix, "a_").unwrap().0, [Letter('a'), Letter('_'), Any]);
    }

    #[test]
    fn letters_that_others_become_are_left_open() {
        for (case, form, text, loosened) in [
            (Case::Kept, Form::Like, "Ki_é", "Ki_é"),
            (Case::Lower, Form::Whole, "ada", "ada"),
            (Case::Lower, Form::Whole, "smith", "sm%th"),
            (Case::Lower, Form::Like, "%kim\u{e9}i%", "%m%"),
            (Case::Lower, Form::Like, "a_b", "a%b"),
            (Case::Upper, Form::Prefix, "SMITH", "%M%TH%"),
        ] {
            let expected = Pattern::new(Form::Like, loosened).unwrap();
            assert_eq!(Pattern::new(form, text).unwrap().before(case), expected, "{text}");
        }
    }

    /// What ICU and the C library's locales make of a text, İ apart: it becomes one letter in the one and two in the other.
    fn mapped(case: Case, text: &str, two: bool) -> String {
        let lower = |letter: char| match letter {
            'İ' if !two => "i".to_owned(),
            other => other.to_lowercase().collect(),
        };
        let upper = |letter: char| {
            let mut all = letter.to_uppercase();
            // Letter by letter: what would become two stays.
            if all.len() == 1 { all.next().into_iter().collect() } else { letter.to_string() }
        };
        match case {
            Case::Kept => text.to_owned(),
            Case::Lower => text.chars().map(lower).collect(),
            Case::Upper => text.chars().map(upper).collect(),
        }
    }

    /// As careless an API as there may be: it takes ASCII letters for one whatever their case, and nothing else.
    fn found(pattern: &Pattern, text: &str) -> bool {
        let plain = |glyph: &Glyph| match glyph {
            Glyph::Letter(letter) => Glyph::Letter(letter.to_ascii_lowercase()),
            other => *other,
        };
        let glyphs: Vec<_> = pattern.glyphs().iter().map(plain).collect();
        matches(&text.to_ascii_lowercase().chars().collect::<Vec<_>>(), &glyphs)
    }

    fn forms() -> impl Strategy<Value = Form> {
        prop_oneof![Just(Form::Whole), Just(Form::Prefix), Just(Form::Like)]
    }

    fn cases() -> impl Strategy<Value = Case> {
        prop_oneof![Just(Case::Kept), Just(Case::Lower), Just(Case::Upper)]
    }

    proptest! {
        #[test]
        fn whatever_matches_is_found(
            case in cases(),
            form in forms(),
            text in "[aAiIkKsSİıſ\u{212a}éÉß%_\\\\]{0,6}",
            pattern in "[aAiIkKsSİıſ\u{212a}éÉß%_\\\\]{0,6}",
            two in any::<bool>(),
        ) {
            let Some(asked) = Pattern::new(form, &pattern) else { return Ok(()) };
            if holds(&asked, &mapped(case, &text, two)) {
                prop_assert!(found(&asked.clone().before(case), &text), "{:?}", asked.before(case));
            }
        }

        #[test]
        fn what_a_text_is_made_into_finds_the_text(
            case in cases(),
            form in forms(),
            text in "[aAiIkKsSİıſ\u{212a}éÉß]{0,6}",
            keep in 0usize..7,
            two in any::<bool>(),
        ) {
            let made = mapped(case, &text, two);
            let kept: String = made.chars().take(keep).collect();
            let pattern = match form {
                Form::Whole => made,
                Form::Prefix => kept,
                Form::Like => kept + "%",
            };
            prop_assert!(found(&Pattern::new(form, &pattern).unwrap().before(case), &text));
        }
    }
}
