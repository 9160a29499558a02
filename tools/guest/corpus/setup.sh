#!/usr/bin/env bash
# Gets what the corpus of edits is made of, Aider as it was released (Apache-2.0), and makes the corpus of it.
#   setup.sh DIR PIP
# Does nothing twice. Versions and digests are pinned here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ $# = 2 ] || { sed -n '2,4p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
pip=$2

# The chat that the last one holds was held while the first three were made.
releases='
0.50.1 f6c107863edd1b3316ae054784cb439cda2ac4a176c7a18e7976a614543d6ae0
0.51.0 931ab995073d2f14af29d992eca5ea5ac6fe325d76639f77cde87089afe21667
0.52.1 e0b0733226f1fa3483fbe906a0d7124da76aae2741367fdb7ddb99e10247d5ed
0.86.2 f38a9d322f5609f0c13af82d50c6a11170185b3fdf26956e4a7e89ba19819159
'

# The corpus is whole only when the script it was made by lies beside it: that is copied last.
cmp -s "$here/aider.py" "$dir/made-by.py" && exit 0
printf 'corpus: making the corpus of edits in %s\n' "$dir"
while read -r version digest; do
  [ -n "$version" ] || continue
  file=$dir/aider_chat-$version.tar.gz
  [ -e "$file" ] || "$pip" download --quiet --no-deps --no-binary :all: --dest "$dir" "aider-chat==$version"
  echo "$digest  $file" | sha256sum --check --quiet
  tar --no-same-owner -xzf "$file" -C "$dir"
done <<<"$releases"
/usr/bin/python3 "$here/aider.py" "$dir"
cp "$here/aider.py" "$dir/made-by.py"
