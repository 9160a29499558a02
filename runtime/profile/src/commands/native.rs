//! CMake and CTest.

use gloaming_api::profile::{CommandKind::*, Ecosystem::C, TestRunner};

use super::{Known, Tool};

/// Where CMake builds: beside the workspace, and kept from one job to the next.
const BUILD: &str = "/scratch/cmake";

fn build_and_test(kind: gloaming_api::profile::CommandKind) -> Tool {
    // One program that configures and builds (and tests): three commands would need a shell between them.
    let argv =
        ["ctest", "--build-and-test", ".", BUILD, "--build-generator", "Unix Makefiles", "--build-noclean"];
    Tool::new(C, kind, &argv)
}

/// Returns the command that configures and builds a CMake project.
pub(crate) fn ctest_build() -> Tool {
    build_and_test(Build)
}

/// Returns the command that configures, builds and tests a CMake project. All after `--test-command` are arguments of
/// the second `ctest`, so that `--output-junit FILE` can be appended.
pub(crate) fn ctest_test() -> Tool {
    build_and_test(Test)
        .args(["--test-command", "ctest", "--output-on-failure", "--no-tests=error"])
        .runner(TestRunner::Ctest)
}

pub(super) fn ctest(_args: &[&str]) -> Known {
    Known::Refused("it needs a build folder, which the command made from CMakeLists.txt makes".into())
}
