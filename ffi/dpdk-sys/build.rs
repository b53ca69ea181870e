//! Binds libdpdk: bindgen over `shim.h`, a C compiler over `shim.c`, dynamic linking as pkg-config says.
//!
//! The flags come from `pkg-config --cflags` itself and go to both tools: the pkg-config crate drops
//! `-include rte_config.h` and `-march=...`, and without them layouts may differ from the library's.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const OLDEST: &str = "22.11";

const LIBCLANG_HELP: &str = "On Debian or Ubuntu: apt-get install libclang-dev\n\
                             On Fedora:           dnf install clang-devel\n\
                             Installed elsewhere? export LIBCLANG_PATH=<the folder that holds libclang.so>";

/// What the crate uses of DPDK besides its own shim: control-path functions whose arguments have not changed
/// since 22.11.
const FUNCTIONS: &[&str] = &[
    "weir_.*",
    "rte_dev_probe",
    "rte_eal_cleanup",
    "rte_eal_get_runtime_dir",
    "rte_eal_has_hugepages",
    "rte_eal_init",
    "rte_eal_remote_launch",
    "rte_eal_wait_lcore",
    "rte_eth_allmulticast_disable",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_default_mac_addr_set",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_mac_addr_add",
    "rte_eth_dev_mac_addr_remove",
    "rte_eth_dev_set_mc_addr_list",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_find_next",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_get",
    "rte_eth_stats_get",
    "rte_eth_tx_done_cleanup",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    "rte_get_main_lcore",
    "rte_get_next_lcore",
    "rte_get_tsc_hz",
    "rte_lcore_is_enabled",
    "rte_lcore_to_cpu_id",
    "rte_lcore_to_socket_id",
    "rte_mempool_avail_count",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    "rte_strerror",
    "rte_version",
    "rte_version_month",
    "rte_version_year",
];

fn main() {
    for file in ["build.rs", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let out =
        PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set; build with cargo")));
    let library = probe();
    let flags = cflags();
    compile_shim(&flags);
    generate_bindings(&flags, &out);
    // After the shim: the linker reads from left to right.
    for path in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for name in &library.libs {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
    println!("cargo:version={}", library.version);
}

fn probe() -> pkg_config::Library {
    pkg_config::Config::new()
        .atleast_version(OLDEST)
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            fail(&format!(
                "libdpdk {OLDEST} or newer was not found by pkg-config.\n\
                 On Debian or Ubuntu: apt-get install libdpdk-dev libclang-dev pkg-config\n\
                 On Fedora:           dnf install dpdk-devel clang-devel pkgconf-pkg-config\n\
                 Built from source?   export PKG_CONFIG_PATH=<prefix>/lib/<arch>/pkgconfig\n\n{error}"
            ))
        })
}

fn cflags() -> Vec<String> {
    let tool = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = Command::new(&tool)
        .args(["--cflags", "libdpdk"])
        .output()
        .unwrap_or_else(|error| {
            fail(&format!(
                "cannot run {tool}: {error}; install the package pkg-config"
            ))
        });
    if !output.status.success() {
        fail(&format!(
            "{tool} --cflags libdpdk failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build
        .file("shim.c")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true);
    // DPDK's own inline functions are not free of these, and they are not ours to repair.
    build
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-deprecated-declarations");
    for flag in flags {
        build.flag(flag);
    }
    build.compile("weir_dpdk_shim");
}

fn generate_bindings(flags: &[String], out: &Path) {
    let mut builder = bindgen::Builder::default()
        .header("shim.h")
        .clang_args(flags)
        .use_core()
        .layout_tests(true)
        .derive_default(true)
        .generate_cstr(true)
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .prepend_enum_name(false)
        .rust_target(oldest_rust())
        .rust_edition(bindgen::RustEdition::Edition2024)
        .allowlist_var("WEIR_.*")
        .allowlist_recursively(true)
        .opaque_type("rte_mempool")
        // The one hot structure is written by hand in src/mbuf.rs and checked field by field there.
        .blocklist_type("rte_mbuf(__.*|_ext_shared_info|_sched)?")
        .raw_line("use crate::mbuf::rte_mbuf;");
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    // bindgen panics where libclang cannot be loaded; the reader needs a package name, not a backtrace.
    let generated = catch_unwind(AssertUnwindSafe(|| builder.generate()));
    let bindings = match generated {
        Ok(Ok(bindings)) => bindings,
        Ok(Err(error)) => fail(&format!(
            "bindgen could not read the DPDK headers: {error}\n{LIBCLANG_HELP}"
        )),
        Err(_) => fail(&format!(
            "libclang, which reads the DPDK headers, could not be loaded.\n{LIBCLANG_HELP}"
        )),
    };
    let file = out.join("bindings.rs");
    if let Err(error) = bindings.write_to_file(&file) {
        fail(&format!("cannot write {}: {error}", file.display()));
    }
}

/// The workspace's `rust-version`.
fn oldest_rust() -> bindgen::RustTarget {
    bindgen::RustTarget::stable(88, 0)
        .unwrap_or_else(|error| fail(&format!("bindgen is too old for Rust 1.88: {error}")))
}

fn fail(message: &str) -> ! {
    eprintln!("\nweir-dpdk-sys: {message}\n");
    exit(1)
}
