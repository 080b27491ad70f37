//! Devices from a spreadsheet, taken all together or not at all.

use std::collections::HashMap;

use isigurt_core::policy::model::{DeviceText, Policy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Author, ChangeError, Household};
use crate::clients::import::{self, Change, Device, DryRun, Present};
use crate::dns::engine::Engine;

/// What an import changes, or would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Names of devices that are new.
    pub added: Vec<String>,
    /// Names of devices that are changed.
    pub changed: Vec<String>,
    /// How many are so already.
    pub unchanged: usize,
    /// What is wrong, with line and column; nothing is taken then.
    pub wrong: Vec<String>,
    /// Columns that mean nothing here.
    pub ignored: Vec<String>,
    /// Whether it is in force now.
    pub in_force: bool,
}

impl Household {
    /// Takes devices from the text of a spreadsheet. With one wrong row nothing is taken; `dry_run` only says what would
    /// change.
    pub fn import(
        &self,
        engine: &Engine,
        author: &Author,
        text: &str,
        dry_run: bool,
    ) -> Result<Imported, ChangeError> {
        let policy = self.policy();
        let run = against(&policy, text);
        let mut imported = told(&run);
        if !imported.wrong.is_empty() {
            return Ok(imported);
        }
        if dry_run {
            let mut changed = Policy::clone(&policy);
            take(&mut changed, &run);
            self.check(engine, &changed)?;
            return Ok(imported);
        }
        imported = self.change(engine, author, |policy| {
            let run = against(policy, text); // as it is now
            if run.wrong.is_empty() {
                take(policy, &run);
            }
            Ok(told(&run))
        })?;
        imported.in_force = imported.wrong.is_empty();
        Ok(imported)
    }
}

fn against(policy: &Policy, text: &str) -> DryRun {
    let devices: Vec<Device> = policy
        .device
        .iter()
        .map(|device| Device {
            name: device.name.clone(),
            matches: device.matches.clone(),
            profile: device.profile.clone(),
        })
        .collect();
    let profiles: Vec<String> = policy
        .profile
        .iter()
        .map(|profile| profile.name.clone())
        .collect();
    let only = (profiles.len() == 1).then(|| profiles.first()).flatten();
    let default = policy.settings.default_profile.as_ref().or(only);
    import::read(
        text,
        Present {
            devices: &devices,
            profiles: &profiles,
            default_profile: default.map(String::as_str),
        },
    )
}

fn take(policy: &mut Policy, run: &DryRun) {
    let places: HashMap<String, usize> = policy
        .device
        .iter()
        .enumerate()
        .map(|(place, device)| (device.name.clone(), place))
        .collect();
    for device in run.devices() {
        let text = DeviceText {
            name: device.name.clone(),
            matches: device.matches.clone(),
            profile: device.profile.clone(),
        };
        match places
            .get(&device.name)
            .and_then(|place| policy.device.get_mut(*place))
        {
            Some(old) => *old = text,
            None => policy.device.push(text),
        }
    }
}

fn told(run: &DryRun) -> Imported {
    let mut imported = Imported {
        wrong: run.wrong.iter().map(ToString::to_string).collect(),
        ignored: run.ignored.clone(),
        ..Imported::default()
    };
    for (_, change) in &run.changes {
        match change {
            Change::Added(device) => imported.added.push(device.name.clone()),
            Change::Changed { after, .. } => imported.changed.push(after.name.clone()),
            Change::Unchanged(_) => imported.unchanged += 1,
        }
    }
    imported
}
