//! The words that flows are made of.

/// What a step does.
#[rustfmt::skip]
pub(super) const VERBS: &[&str] = &[
    "read", "fetch", "send", "check", "enter", "approve", "book", "cancel", "classify",
    "collect", "compare", "confirm", "convert", "copy", "count", "create", "deliver",
    "describe", "enrich", "export", "file", "forward", "import", "invoice", "label", "list",
    "load", "look_up", "match", "merge", "notify", "order", "parse", "pay", "plan", "print",
    "rank", "record", "refund", "remind", "report", "request", "route", "schedule", "score",
    "search", "ship", "sort", "split", "summarise", "tag", "translate", "update", "upload",
    "validate", "verify", "watch", "weigh",
];

/// What a step is about.
#[rustfmt::skip]
pub(super) const NOUNS: &[&str] = &[
    "account", "address", "agent", "agreement", "amount", "answer", "appointment", "article",
    "asset", "attachment", "balance", "batch", "bill", "branch", "budget", "calendar",
    "campaign", "card", "carrier", "case", "catalogue", "claim", "client", "comment", "company",
    "complaint", "contact", "contract", "country", "credit", "currency", "customer", "deadline",
    "delivery", "department", "deposit", "discount", "document", "draft", "employee", "entry",
    "event", "expense", "feedback", "form", "freight", "goods", "hotel", "incident", "invoice",
    "issue", "item", "journal", "language", "lead", "ledger", "letter", "licence", "location",
    "machine", "mail", "manager", "market", "meeting", "message", "number", "offer", "office",
    "order", "package", "page", "parcel", "partner", "payment", "permit", "person", "policy",
    "portfolio", "position", "price", "product", "project", "quantity", "question", "quote",
    "receipt", "record", "region", "rental", "report", "request", "response", "review", "risk",
    "room", "route", "salary", "schedule", "sensor", "service", "shift", "shipment",
    "signature", "status", "stock", "store", "subject", "summary", "supplier", "survey", "task",
    "tax", "team", "ticket", "total", "tracking", "trade", "transfer", "travel", "unit", "user",
    "vehicle", "vendor", "visit", "voucher", "warehouse", "warranty", "weight",
];
