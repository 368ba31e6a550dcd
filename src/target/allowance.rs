//! What the file lets depart from every one-at-a-time order of calls.

use crate::model::allowance::Allowance;
use crate::target::error::Problem;
use crate::target::file::{AllowanceSection, TargetFile};

/// The allowances of a file; what is wrong with one is a problem.
pub(super) fn allowances(file: &TargetFile, problems: &mut Vec<Problem>) -> Vec<Allowance> {
    let sections = file.allowances.iter();
    let mut read = |(name, section): (&String, &toml::Spanned<AllowanceSection>)| {
        let inner = section.get_ref();
        match place(file, inner) {
            Ok(place) => Some(Allowance {
                name: name.clone(),
                says: inner.says.clone(),
                place,
                order_only: inner.any_order,
            }),
            Err(problem) => {
                problems.push(problem.at_least(section.span()));
                None
            }
        }
    };
    sections.filter_map(&mut read).collect()
}

/// What a section covers, as the outcome oracle names places.
fn place(file: &TargetFile, section: &AllowanceSection) -> Result<String, Problem> {
    let nowhere = |message: &str| Problem::new(0..0, message);
    match (&section.answer, &section.table, &section.stub) {
        (Some(operation), None, None) => {
            if !file.operations.contains_key(operation.get_ref()) {
                let known: Vec<&str> = file.operations.keys().map(String::as_str).collect();
                let name = operation.get_ref();
                return Err(Problem::unknown(
                    operation.span(),
                    "operation",
                    name,
                    &known,
                ));
            }
            if let Some(column) = &section.column {
                let message = "a `column` is of a `table`";
                return Err(Problem::new(column.span(), message)
                    .help("name a `field` of the answer, such as `$.items[*].price`"));
            }
            let field = match &section.field {
                None => "$",
                Some(field) if field.get_ref().starts_with('$') => field.get_ref(),
                Some(field) => {
                    let message = format!("`{}` is no place in an answer", field.get_ref());
                    return Err(Problem::new(field.span(), message)
                        .help("write one such as `$.total`, or `$[*].status` for a list"));
                }
            };
            Ok(format!("{} {field}", operation.get_ref()))
        }
        (None, None, Some(stub)) => {
            if file.stubs.contains_key(stub.get_ref()) {
                return Ok(stub.get_ref().clone());
            }
            let known: Vec<&str> = file.stubs.keys().map(String::as_str).collect();
            Err(Problem::unknown(
                stub.span(),
                "stub",
                stub.get_ref(),
                &known,
            ))
        }
        (None, Some(table), None) => {
            if let Some(field) = &section.field {
                let message = "a `field` is of an `answer`";
                return Err(
                    Problem::new(field.span(), message).help("name a `column` of the table")
                );
            }
            if section.any_order {
                return Err(nowhere("the rows of a table have no order")
                    .help("`any_order` is for a list in an `answer`"));
            }
            let column = section.column.as_ref();
            let column = column.map(|column| format!(".{}", column.get_ref()));
            Ok(format!("{}{}", table.get_ref(), column.unwrap_or_default()))
        }
        _ => Err(nowhere("this allowance is for nothing, or for two things")
            .help("name either an `answer` (an operation), a `table` or a `stub`")),
    }
}
