//! Chance that is the same on every machine, and the words that made-up flows speak of.

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `to`, both among them.
    pub(crate) const fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// True once in `n` times.
    pub(crate) const fn once_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// One of `items`, which are not empty.
    pub(crate) fn of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[(self.next() % items.len() as u64) as usize]
    }

    /// A place in a list of weights, heavier ones more often.
    pub(crate) fn weighed(&mut self, weights: &[u64]) -> usize {
        let mut left = self.next() % weights.iter().sum::<u64>();
        weights.iter().take_while(|weight| take(&mut left, **weight)).count()
    }
}

/// Takes `weight` off what is left, unless it is more.
const fn take(left: &mut u64, weight: u64) -> bool {
    let fits = *left >= weight;
    if fits {
        *left -= weight;
    }
    fits
}

/// What a set of flows is about. The flows that dictionaries are trained on and those that they are
/// measured on share no list, so words learned by heart do not help.
pub(crate) struct Words {
    pub(crate) verbs: &'static [&'static str],
    pub(crate) nouns: &'static [&'static str],
    pub(crate) fields: &'static [&'static str],
    pub(crate) hosts: &'static [&'static str],
    pub(crate) models: &'static [&'static str],
    pub(crate) tenants: &'static [&'static str],
    /// Each takes a noun at `%`.
    pub(crate) sentences: &'static [&'static str],
}

/// Offices and shops.
pub(crate) const OFFICE: Words = Words {
    verbs: &[
        "fetch", "read", "enter", "answer", "check", "send", "store", "compare", "sort", "close",
        "collect", "price",
    ],
    nouns: &[
        "order", "customer", "invoice", "mail", "item", "offer", "payment", "ticket", "contract",
        "delivery", "supplier", "report", "reminder", "account",
    ],
    fields: &[
        "name", "number", "status", "total", "city", "due_date", "currency", "email", "phone",
        "language", "quantity", "comment",
    ],
    hosts: &["crm.example.com/api", "shop.example.com/v2", "erp.example.org", "mail.example.net"],
    models: &["gpt-4o-mini", "gpt-4o", "llama-3.1-8b"],
    tenants: &["acme-inc", "north-shop", "lampworks", "brick-and-co"],
    sentences: &[
        "Write a short and friendly answer about this %.",
        "Answer with the number of the % only, or with NONE.",
        "Summarise the % in one sentence:\n",
        "Is this about a %? Say yes or no.",
        "Thank you, we have received your %.",
    ],
};

/// Clinics, laboratories and ships.
pub(crate) const FIELD: Words = Words {
    verbs: &[
        "measure",
        "label",
        "track",
        "approve",
        "notify",
        "merge",
        "forecast",
        "archive",
        "verify",
        "dispatch",
        "translate",
        "schedule",
        "load",
    ],
    nouns: &[
        "patient",
        "sample",
        "vessel",
        "container",
        "sensor",
        "reading",
        "visit",
        "shift",
        "permit",
        "crew",
        "alarm",
        "pump",
        "dosage",
        "voyage",
        "harbour",
    ],
    fields: &[
        "weight",
        "depth",
        "latitude",
        "longitude",
        "ward",
        "grade",
        "temperature",
        "started_at",
        "priority",
        "owner",
        "batch",
        "unit",
        "remark",
    ],
    hosts: &["lab.clinic.example/rest", "ais.port.example", "telemetry.fleet.example/api/v3"],
    models: &["claude-sonnet-4", "mistral-large", "qwen2.5:14b"],
    tenants: &["harbour-9", "st-anna", "deepwater", "polar-lab"],
    sentences: &[
        "You watch over one %. Report anything out of the ordinary, and nothing else.",
        "Which % does the following note speak of? Give its code.\n---\n",
        "Translate for the crew on board; keep every value of the % as it is.\n",
        "List what is missing from the %, one thing a line.\n",
        "The % was signed off. No further steps are needed.",
    ],
};

impl Words {
    /// `fetch_customer`, never twice with the same count.
    pub(crate) fn ident(&self, dice: &mut Dice, count: usize) -> String {
        format!("{}_{}_{count}", dice.of(self.verbs), dice.of(self.nouns))
    }

    /// `Fetch the customer`.
    pub(crate) fn title(&self, dice: &mut Dice) -> String {
        let verb = dice.of(self.verbs);
        format!("{}{} the {}", verb[..1].to_uppercase(), &verb[1..], dice.of(self.nouns))
    }

    pub(crate) fn sentence(&self, dice: &mut Dice) -> String {
        let noun = dice.of(self.nouns);
        dice.of(self.sentences).replace('%', noun)
    }
}
