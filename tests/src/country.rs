//! A gateway that is joined to a real platform with its database, over signed metadata: its owner has an account, and whoever reports
//! something there has it delivered.

use serde_json::{Value, json};

use crate::platform::wait_long;
use crate::{Browser, House, Platform, Publisher};

/// A gateway and its platform.
#[derive(Debug)]
pub struct Country {
    /// Takes reports; analysts look at them.
    pub platform: Platform,
    /// Signs what the platform publishes.
    pub publisher: Publisher,
    /// The gateway; nobody has claimed it.
    pub house: House,
}

impl Country {
    /// Starts everything, until the gateway knows the platform's key; `web` goes into `[web]` and behind it.
    pub fn start(web: &str) -> Self {
        let publisher = Publisher::new("");
        let platform = Platform::start(&format!(
            "repository = \"{}\"\n",
            publisher.repository().display()
        ));
        publisher.put("keys/report.pub", &format!("{}\n", platform.report_key.to_hex()));
        publisher.run(&["rotate", "--config", "publish.toml"]);
        publisher.publish();
        let joined = format!(
            "{web}\n[platform]\nurl = \"http://{}/\"\nroot = \"{}\"\npoll = \"2s\"\n",
            platform.address,
            publisher.root().display()
        );
        let country = Self {
            platform,
            publisher,
            house: House::new(&joined),
        };
        wait_long("the platform's key", || {
            let about = country.device("127.0.0.2").ask("GET", "/report", &Value::Null);
            about.body["open"] == json!(true)
        });
        country
    }

    /// A device of the house, whose user reads English.
    pub fn device(&self, address: &str) -> Browser {
        self.house.browser(address).with("accept-language", "en")
    }
}
