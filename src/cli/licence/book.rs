//! `nantucket licence book`: users of the volume licence for an instance (R18).

use crate::cli::exit::Failure;
use crate::cli::instance::fields::Licence;
use crate::cli::instance::show::licence;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::Licensing;

/// For whom, and what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    #[command(flatten)]
    licence: Licence,
}

/// Books.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let path = ["instances", args.instance.as_str(), "licence"];
    let known = node.get::<Licensing>(&path, &[])?;
    let mut wanted = known.value.clone();
    args.licence.apply(&mut wanted);
    if wanted == known.value {
        return Ok(Shown::either(reach.json, &wanted, |it| format!("unchanged: {}: {}\n", args.instance, licence(it))));
    }
    let written: Licensing = node.put(&path, known.etag.as_deref(), &wanted)?;
    Ok(Shown::either(reach.json, &written, |it| format!("{}: {}\n", args.instance, licence(it))))
}
