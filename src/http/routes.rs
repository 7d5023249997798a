//! How routes are listed: once, for the router and for whoever checks all of them.

/// Makes the list of routes, with this name, and the router of the same lines.
macro_rules! routes {
    ($(#[$about:meta])* $list:ident: $($method:ident $path:literal => $handler:expr;)*) => {
        $(#[$about])*
        pub const $list: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn routed() -> Router<SharedApp> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

pub(super) use routes;
