#!/usr/bin/env bash
# Compiles the tools to WebAssembly components in tools/target/components. Incremental; a component that
# did not change keeps its modification time.
#
# Two ways to a compiler that can do it (GLOAMING_WASM=rustup|debian forces one):
#   rustup  the active toolchain with its wasm targets, which rustup adds when they are missing;
#   debian  the distribution's own rustc, cargo, std sources, lld and wasi-libc, installed when they are
#           missing and apt-get may be run; std is compiled here.
# The two never share an environment, a target folder or a cargo.
#
# The grammars of `outline` are C. Both ways compile them with a clang that knows wasm (GLOAMING_CLANG names
# one; otherwise the newest that is found, or Debian's, installed as above) against the headers of the crate
# tree-sitter-language: that target has no libc, and tree-sitter brings the few functions of one it needs.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
components=$tools/target/components
plain=wasm32-unknown-unknown
wasip2=wasm32-wasip2
packages=(rustc-web cargo-web rust-web-src lld-22 wasi-libc)
clang_package=clang-22
sources=/usr/lib/rustlib/src/rust/library
libc=/usr/lib/wasm32-wasi

say() { printf 'tools: %s\n' "$*"; }
fail() { printf 'tools: error: %s\n' "$*" >&2; exit 1; }

# What a caller's cargo or shell may have set for another build.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR \
    CARGO_BUILD_TARGET_DIR RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTC_BOOTSTRAP CARGO_MAKEFLAGS \
    CC CFLAGS TARGET_CC TARGET_CFLAGS
cd "$tools"

rustup_has_targets() {
    local sysroot target
    sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
    for target in "$plain" "$wasip2"; do
        compgen -G "$sysroot/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null || return 1
    done
}

find_rustup() {
    command -v cargo >/dev/null && command -v rustc >/dev/null || return 1
    rustup_has_targets && return
    command -v rustup >/dev/null || return 1
    say "adding the targets $plain and $wasip2 to the active toolchain"
    timeout 120 rustup target add "$plain" "$wasip2" >/dev/null 2>&1 || return 1
    rustup_has_targets
}

debian_is_complete() {
    [[ -x /usr/bin/rustc && -x /usr/bin/cargo && -d $sources && -x /usr/bin/wasm-ld-22 && -e $libc/libc.a ]] &&
        compgen -G '/usr/lib/rustlib/*/bin/wasm-component-ld' >/dev/null
}

find_debian() {
    debian_is_complete || { install "${packages[@]}" && debian_is_complete; }
}

# install PACKAGE...: installs Debian's packages where that is allowed.
install() {
    command -v apt-get >/dev/null || return 1
    local as_root=()
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing $*"
    local log=$tools/target/apt.log
    mkdir -p "$tools/target"
    # A new machine has empty package lists, or old ones.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$log" 2>&1 || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
        >>"$log" 2>&1 || { say "apt-get failed, see $log"; return 1; }
}

compiles_to_wasm() {
    command -v "$1" >/dev/null || return 1
    printf '#include <stdbool.h>\nbool one(void) { return true; }\n' |
        "$1" --target="$plain" -msimd128 -mbulk-memory -x c -c -o /dev/null - 2>/dev/null
}

# Sets `clang`.
find_clang() {
    clang=${GLOAMING_CLANG:-}
    [[ -z $clang ]] || { compiles_to_wasm "$clang"; return; }
    for clang in clang-{30..14} clang; do
        compiles_to_wasm "$clang" && return
    done
    # Not every release has the newest; each has one that is called `clang`.
    for clang in "$clang_package" clang; do
        install "$clang" && compiles_to_wasm "$clang" && return
    done
    clang=clang
    return 1
}

way=${GLOAMING_WASM:-}
case $way in
rustup) find_rustup || fail "no wasm targets here; run: rustup target add $plain $wasip2" ;;
debian) find_debian || fail "the distribution's toolchain is missing; run: apt-get install ${packages[*]}" ;;
'')
    if find_rustup; then
        way=rustup
    elif find_debian; then
        way=debian
    else
        fail "nothing here compiles to WebAssembly; run either
    rustup target add $plain $wasip2
or, on Debian, as root
    apt-get install ${packages[*]}"
    fi
    ;;
*) fail "GLOAMING_WASM is '$way'; it may be rustup or debian" ;;
esac

target=$tools/target/$way
cargo=cargo
std=()
features='-Ctarget-feature=+simd128,+bulk-memory'
# Paths of this machine would make a component's digest depend on it.
remap=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" "--remap-path-prefix=$tools=/tools")
plain_flags=("$features" "${remap[@]}")
wasi_flags=("$features" "${remap[@]}")
if [[ $way == debian ]]; then
    # rustup's proxies and choice of toolchain must not be seen from here on.
    unset RUSTUP_TOOLCHAIN RUSTUP_HOME
    mkdir -p "$target/bin"
    ln -sfn /usr/bin/wasm-ld-22 "$target/bin/wasm-ld"
    export PATH=$target/bin:/usr/bin:/bin:/usr/sbin:/sbin
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
    cargo=/usr/bin/cargo
    std=('-Zbuild-std=std,panic_abort')
    plain_flags+=("--remap-path-prefix=$sources=/library" "-Clinker=$target/bin/wasm-ld")
    wasi_flags+=("--remap-path-prefix=$sources=/library" "-Lnative=$libc")
fi

find_clang || fail "$clang is missing or cannot compile C to WebAssembly, which the grammars of \`outline\`
need; install an LLVM clang (14 or newer; Debian and Ubuntu: apt-get install clang, or $clang_package; macOS: brew
install llvm, since Apple's has no WebAssembly), and name it in GLOAMING_CLANG where it is not in PATH as clang"

say "compiling with $($cargo --version) and $clang ($way)"
$cargo build --quiet --locked --target-dir "$target" --profile helper -p componentize
componentize=$target/helper/componentize

# How C is compiled. The scanner of C++ takes wchar_t and static_assert for granted.
manifest=$($cargo metadata --locked --format-version=1 --filter-platform "$plain" |
    grep -o '"manifest_path":"[^"]*/tree-sitter-language-[^"/]*/Cargo.toml"' | head -n1 | cut -d'"' -f4)
headers=${manifest%/Cargo.toml}/wasm/include
[[ -e $headers/wchar.h ]] || fail "the crate tree-sitter-language has no headers in $headers"
c_flags=("-I$headers" -include wchar.h -Dstatic_assert=_Static_assert -DNDEBUG -msimd128 -mbulk-memory
    "-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo")
for flag in "${c_flags[@]}"; do
    [[ $flag != *' '* ]] || fail "a path holds a space, which C's flags cannot: $flag"
done
export CC_wasm32_unknown_unknown=$clang CFLAGS_wasm32_unknown_unknown="${c_flags[*]}"

# build TARGET PACKAGE...: compiles them for one target.
build() {
    local triple=$1 package arguments=() flags=("${plain_flags[@]}")
    shift
    [[ $triple == "$wasip2" ]] && flags=("${wasi_flags[@]}")
    for package in "$@"; do arguments+=(-p "$package"); done
    # Encoded, since a path may hold a space.
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; printf '%s' "${flags[*]}") $cargo build --quiet --locked --target-dir "$target" --target "$triple" --release \
        "${std[@]}" "${arguments[@]}"
}

# finish TARGET PACKAGE WORLD OUTPUT WIT-FOLDER...: makes a component with its documentation.
finish() {
    local triple=$1 package=$2 world=$3 output=$4
    shift 4
    "$componentize" "$target/$triple/release/${package//-/_}.wasm" "$components/$output" "$world" "$@"
}

mkdir -p "$components/test"
wit=$tools/../wit

# The tools, and those of them that are also built on the standard library and WASI.
own=(read list search outline diff edit write patch move remove)
# The stack lies in the instance's memory, which is looked through after each call for what was written: the 1 MiB
# that is the rule would be most of it. One that overflows traps, as any does: it lies below everything else.
common=("${plain_flags[@]}")
plain_flags+=("-Clink-arg=-zstack-size=262144")
build "$plain" "${own[@]/#/tool-}"
plain_flags=("${common[@]}")
for tool in "${own[@]}"; do
    finish "$plain" "tool-$tool" "$tool-tool" "$tool.wasm" "$wit"
done
wasi=(tool-read-wasi tool-edit-wasi)
build "$wasip2" "${wasi[@]}"
for package in "${wasi[@]}"; do
    finish "$wasip2" "$package" "${package#tool-}" "${package#tool-}.wasm" "$wit"
done

# Tools that misbehave, for the host's tests.
evil=(loop memory recursion panic imports paths flood)
build "$plain" "${evil[@]/#/evil-}"
for guest in "${evil[@]}"; do
    finish "$plain" "evil-$guest" "evil-$guest" "test/evil-$guest.wasm" "$wit" "$tools/test-guests/wit"
done
build "$wasip2" evil-wasi
finish "$wasip2" evil-wasi evil-wasi test/evil-wasi.wasm "$wit" "$tools/test-guests/wit"
say "components are in $components"
