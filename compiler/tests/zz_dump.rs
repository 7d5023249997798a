//! scratch
use colophon_compiler::*; use colophon_model::*;
#[test] fn dump() {
    let c = Compiler::new().unwrap();
    for line in std::fs::read_to_string("/tmp/lf/list.txt").unwrap().lines() {
        let (name, path) = line.split_once('\t').unwrap();
        let body = std::fs::read(path).unwrap();
        let known = c.parse(&body, CodePolicy::KnownOnly, &Limits::default());
        if let Err(p) = &known { eprintln!("{name}: known-only: {p}"); }
        match c.parse(&body, CodePolicy::AllowCustom, &Limits::default()) {
            Err(p) => { eprintln!("{name}: {p}"); }
            Ok(plan) => { let out = c.compile(&plan, &TenantSlug::new("t").unwrap(), &FlowId::new(name).unwrap()).unwrap();
                for w in &plan.warnings { eprintln!("{name}: {w}"); }
                for (p, a) in out.cloud.iter().chain(c.bootstrap(&TenantSlug::new("t").unwrap()).iter()) { let p = format!("/tmp/lf/out/{p}"); std::fs::create_dir_all(std::path::Path::new(&p).parent().unwrap()).unwrap(); std::fs::write(p, a.bytes()).unwrap(); } }
        }
    }
}
