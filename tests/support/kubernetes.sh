#!/usr/bin/env bash
# A Kubernetes cluster of one node on this machine, for the suite of the job lane: a real API server, controllers,
# scheduler and kubelet, built from the distribution's sources (there are no packages of them), with its etcd,
# containerd and runc. Debian's names; needs root.
#   kubernetes.sh build CACHE   install what is missing and build the programs (ten minutes, once)
#   kubernetes.sh up CACHE      start a cluster; prints the variables by which the suite finds it
#   kubernetes.sh down CACHE    end it and remove what it left
#
# The pods' network has loopback and nothing else, as the job lane demands: the network plug-in below makes none.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'kubernetes: %s\n' "$*" >&2; }

[ $# = 2 ] || { sed -n '5,7p' "$0" >&2; exit 2; }
mkdir -p "$2"
BASE=$(cd "$2" && pwd)/kubernetes
BIN=$BASE/bin
# What is of one cluster, and goes with it. A socket's address is short.
RUN=$BASE/run
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet)

install_packages() {
  local missing=() pair
  for pair in etcd:etcd-server containerd:containerd runc:runc openssl:openssl mmdebstrap:mmdebstrap python3:python3 \
    dpkg-source:dpkg-dev gcc:gcc ip:iproute2 curl:curl strip:binutils; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ -n "$(loopback)" ] || missing+=(containernetworking-plugins)
  if ! built; then
    [ -x /usr/lib/go-1.19/bin/go ] || missing+=(golang-1.19-go)
    [ -d /usr/share/gocode/src/github.com/modern-go/reflect2 ] || missing+=(golang-github-modern-go-reflect2-dev)
  fi
  [ "${#missing[@]}" = 0 ] && return
  command -v apt-get >/dev/null || { say "install these first (Debian's names): ${missing[*]}"; exit 1; }
  say "installing ${missing[*]}"
  apt-get update -qq
  # Nobody needs the services of these packages.
  local policy=/usr/sbin/policy-rc.d own=''
  if ! [ -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    own=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || own=${own:+failed}
  [ -z "$own" ] || rm -f "$policy"
  [ "$own" != failed ]
}

# The network plug-in that brings a new network's loopback up, where the distribution has put it.
loopback() { find /usr/lib/cni /opt/cni/bin -name loopback 2>/dev/null | head -n 1 || true; }

built() {
  local program
  for program in "${PROGRAMS[@]}" pause; do [ -x "$BIN/$program" ] || return 1; done
}

# The sources of a package, from where this machine's packages come from, without a change to its settings.
sources() {
  local apt=$BASE/apt list
  rm -rf "$apt" "$BASE/src"
  mkdir -p "$apt/lists/partial" "$apt/parts"
  for list in /etc/apt/sources.list.d/*.sources; do
    [ -e "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/parts/$(basename "$list")"
  done
  if [ -s /etc/apt/sources.list ]; then
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$apt/parts/main.list"
  fi
  local options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/parts" -o "Dir::State::Lists=$apt/lists"
    -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" source --download-only kubernetes)
  dpkg-source --no-check -x "$apt"/kubernetes_*.dsc "$BASE/src" >/dev/null
}

build() {
  install_packages
  built && return
  mkdir -p "$BASE" "$BIN"
  say "fetching the sources of Kubernetes"
  sources
  say "building Kubernetes (ten minutes, once)"
  export GO111MODULE=off GOPATH=$BASE/go GOCACHE=$BASE/go/cache GOFLAGS= CGO_ENABLED=0 PATH=/usr/lib/go-1.19/bin:$PATH
  mkdir -p "$GOPATH/src/k8s.io"
  ln -sfn "$BASE/src" "$GOPATH/src/k8s.io/kubernetes"
  # The one that came with the sources reads maps as an older Go laid them out, and crashes.
  rm -rf "$BASE/src/vendor/github.com/modern-go/reflect2"
  cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 "$BASE/src/vendor/github.com/modern-go/"
  (
    cd "$GOPATH/src/k8s.io/kubernetes"
    # The description of the interface is generated, and not in the sources.
    go build -o "$BASE/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    local packages version='' package
    # A bunch of files in which nothing is found is an error to `xargs`.
    packages=$(find -L pkg cmd vendor/k8s.io -name '*.go' -not -path '*/_examples/*' -not -path '*/sample-apiserver/*' -print0 |
      { xargs -0 grep -l '^// +k8s:openapi-gen=true' || true; } | xargs -n1 dirname | LC_ALL=C sort -u | grep -v cmd/openapi-gen |
      sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
    "$BASE/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
      -h hack/boilerplate/boilerplate.generatego.txt -r "$BASE/violations" >/dev/null
    for package in component-base/version client-go/pkg/version; do
      for package in "k8s.io/$package" "k8s.io/kubernetes/vendor/k8s.io/$package"; do
        version+=" -X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20"
      done
    done
    go build -trimpath -ldflags "-s -w $version" -o "$BIN/" "${PROGRAMS[@]/#/./cmd/}"
  )
  gcc -Os -static -o "$BIN/pause" "$(find "$BASE/src/build/pause" -name pause.c -not -path "*/windows/*")"
  chmod -R u+w "$BASE/go"
  rm -rf "$BASE/go" "$BASE/src" "$BASE/apt" "$BASE/openapi-gen" "$BASE/violations" "$BASE"/kubernetes_*
}

# An image as containerd imports it, of one layer that is a tar archive.
pack_image() {
  python3 - "$@" <<'PYTHON'
import hashlib, io, json, sys, tarfile
layer, name, out, config = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
digest = hashlib.sha256()
with open(layer, "rb") as file:
    while chunk := file.read(1 << 20):
        digest.update(chunk)
config = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest.hexdigest()]}}).encode()
manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
with tarfile.open(out, "w") as tar:
    for path, content in (("config.json", config), ("manifest.json", manifest)):
        entry = tarfile.TarInfo(path)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    tar.add(layer, "layer.tar")
PYTHON
}

images() {
  if ! [ -e "$BASE/pause.tar" ]; then
    tar -C "$BIN" -cf "$BASE/layer.tar" pause
    pack_image "$BASE/layer.tar" registry.example/pause:1 "$BASE/pause.new" '{"Entrypoint": ["/pause"]}'
    mv "$BASE/pause.new" "$BASE/pause.tar"
  fi
  local programs=python3,bash,curl,procps
  # Made anew where one of them is new.
  if ! [ -e "$BASE/job.tar" ] || [ "$(cat "$BASE/job.programs" 2>/dev/null)" != "$programs" ]; then
    say "making an image for jobs"
    # Where packages are checked by time, an hour more or less is none of ours.
    mmdebstrap --quiet --variant=essential --mode=root --include="$programs" \
      --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
      "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$BASE/layer.tar" >&2
    pack_image "$BASE/layer.tar" registry.example/job:1 "$BASE/job.new" \
      '{"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FLAVOUR=bitter"]}'
    mv "$BASE/job.new" "$BASE/job.tar"
    printf '%s\n' "$programs" >"$BASE/job.programs"
  fi
  rm -f "$BASE/layer.tar"
}

certificates() {
  local pki=$RUN/pki name subject
  mkdir -p "$pki"
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  openssl genrsa -out "$pki/accounts.key" 2048 2>/dev/null
  for subject in server:/CN=server admin:/O=system:masters/CN=admin "node:/O=system:nodes/CN=system:node:node"; do
    name=${subject%%:*}
    openssl req -newkey rsa:2048 -nodes -subj "${subject#*:}" -keyout "$pki/$name.key" -out "$pki/$name.csr" 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$ADDRESS" >"$pki/extensions"
    openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
      -extfile "$pki/extensions" -out "$pki/$name.crt" 2>/dev/null
  done
  for name in admin node; do
    cat >"$RUN/$name.yaml" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://127.0.0.1:$API", certificate-authority: $pki/ca.crt}}]
users: [{name: $name, user: {client-certificate: $pki/$name.crt, client-key: $pki/$name.key}}]
contexts: [{name: here, context: {cluster: here, user: $name}}]
current-context: here
YAML
  done
}

# Starts a program of the cluster in the background.
start() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$RUN/$name.log" 2>&1 &
  echo $! >"$RUN/$name.pid"
}

# Waits for a condition, as long as the program that is to bring it about lives.
until_true() {
  local name=$1 tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$(cat "$RUN/$name.pid")" 2>/dev/null || [ "$((tries += 1))" -gt 600 ]; then
      say "$name does not get ready:"
      tail -n 15 "$RUN/$name.log" >&2
      exit 1
    fi
    sleep 0.5
  done
}

api() {
  local pki=$RUN/pki method=$1 path=$2
  shift 2
  curl -sf --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" -X "$method" "https://127.0.0.1:$API$path" "$@"
}

ready() { api GET /api/v1/nodes/node | python3 -c 'import json,sys; sys.exit(not any(c["type"] == "Ready" and c["status"] == "True" for c in json.load(sys.stdin)["status"]["conditions"]))'; }

account() { api GET /api/v1/namespaces/gloaming/serviceaccounts/default; }

ctr_here() { ctr -a "$RUN/containerd.sock" -n k8s.io "$@"; }

up() {
  build
  images
  ! [ -d "$RUN" ] || down
  mkdir -p "$RUN/cni"
  API=26443 ETCD=22379 KUBELET=21250
  ADDRESS=$(ip -o -4 addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
  [ -n "$ADDRESS" ] || { say "this machine has no address but loopback, and a kubelet wants one"; exit 1; }
  certificates
  local pki=$RUN/pki

  start etcd etcd --data-dir "$RUN/etcd" --listen-client-urls "http://127.0.0.1:$ETCD" \
    --advertise-client-urls "http://127.0.0.1:$ETCD" --listen-peer-urls http://127.0.0.1:22380
  start api "$BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$ETCD" --bind-address 127.0.0.1 --secure-port "$API" \
    --advertise-address "$ADDRESS" --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/24 \
    --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" --client-ca-file "$pki/ca.crt" \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --kubelet-preferred-address-types InternalIP --authorization-mode Node,RBAC \
    --service-account-issuer https://localhost --service-account-key-file "$pki/accounts.key" \
    --service-account-signing-key-file "$pki/accounts.key" --feature-gates TTLAfterFinished=true
  until_true api api GET /readyz
  start controllers "$BIN/kube-controller-manager" --kubeconfig "$RUN/admin.yaml" --bind-address 127.0.0.1 --port 0 \
    --secure-port 0 --leader-elect=false --service-account-private-key-file "$pki/accounts.key" \
    --feature-gates TTLAfterFinished=true
  start scheduler "$BIN/kube-scheduler" --kubeconfig "$RUN/admin.yaml" --bind-address 127.0.0.1 --port 0 --secure-port 0 \
    --leader-elect=false

  cat >"$RUN/containerd.toml" <<TOML
version = 2
root = "$RUN/containerd"
state = "$RUN/state"
[grpc]
address = "$RUN/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.example/pause:1"
# Without the right to make anything less likely to be killed for want of memory.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$RUN/cni"
conf_dir = "$RUN/cni/conf"
[plugins."io.containerd.internal.v1.opt"]
path = "$RUN/opt"
TOML
  mkdir -p "$RUN/cni/conf"
  echo '{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "none"}]}' >"$RUN/cni/conf/none.conflist"
  # A network that consists of nothing: an address on paper, since a pod without one does not start.
  cat >"$RUN/cni/none" <<'CNI'
#!/bin/sh
case $CNI_COMMAND in
  ADD) printf '{"cniVersion": "0.4.0", "interfaces": [{"name": "%s", "sandbox": "%s"}], "ips": [{"version": "4", "interface": 0, "address": "192.0.2.2/32"}]}' "$CNI_IFNAME" "$CNI_NETNS" ;;
  VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
esac
CNI
  chmod 755 "$RUN/cni/none"
  cp "$(loopback)" "$RUN/cni/loopback"
  start containerd containerd --config "$RUN/containerd.toml"
  until_true containerd ctr_here version
  ctr_here images import "$BASE/pause.tar" >/dev/null
  ctr_here images import "$BASE/job.tar" >/dev/null
  local digest
  digest=$(ctr_here images ls | awk '$1 == "registry.example/job:1" { print $3 }')
  # A kubelet looks for the whole reference.
  ctr_here images tag registry.example/job:1 "registry.example/job@$digest" >/dev/null

  cat >"$RUN/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ADDRESS
port: $KUBELET
readOnlyPort: 0
healthzPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: $pki/server.crt
tlsPrivateKeyFile: $pki/server.key
cgroupDriver: cgroupfs
failSwapOn: false
makeIPTablesUtilChains: false
# The default of newer ones: a folder in memory has the size that was asked for.
featureGates: {SizeMemoryBackedVolumes: true}
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 60
serializeImagePulls: false
YAML
  start kubelet "$BIN/kubelet" --config "$RUN/kubelet.yaml" --kubeconfig "$RUN/node.yaml" --root-dir "$RUN/kubelet" \
    --hostname-override node --node-ip "$ADDRESS" --container-runtime remote \
    --container-runtime-endpoint "unix://$RUN/containerd.sock" --cert-dir "$pki"
  until_true kubelet ready
  api POST /api/v1/namespaces -H 'Content-Type: application/json' \
    -d '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gloaming"}}' >/dev/null
  until_true controllers account
  say "ready"
  printf 'export KUBECONFIG=%s GLOAMING_TEST_NAMESPACE=gloaming GLOAMING_TEST_IMAGE=registry.example/job@%s GLOAMING_TEST_KUBELET=%s\n' \
    "$RUN/admin.yaml" "$digest" "$RUN/kubelet"
}

stop() {
  local pid
  [ -e "$RUN/$1.pid" ] || return 0
  pid=$(cat "$RUN/$1.pid")
  # Only what was started here: a number may have become another's.
  if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -- "$RUN"; then
    kill "$pid" 2>/dev/null || true
    timeout 20 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
  fi
}

down() {
  [ -d "$RUN" ] || return 0
  stop kubelet
  stop scheduler
  stop controllers
  local task
  if [ -S "$RUN/containerd.sock" ]; then
    for task in $(timeout 20 ctr -a "$RUN/containerd.sock" -n k8s.io tasks ls -q 2>/dev/null); do
      timeout 20 ctr -a "$RUN/containerd.sock" -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
    done
  fi
  stop containerd
  stop api
  stop etcd
  # Whatever of it still runs names its folder.
  for task in /proc/[0-9]*; do
    if tr '\0' ' ' 2>/dev/null <"$task/cmdline" | grep -q "containerd-shim.* -address $RUN/"; then
      kill -KILL "${task#/proc/}" 2>/dev/null || true
    fi
  done
  while read -r task; do umount -l "$task"; done < <(awk -v f="$RUN/" 'index($5, f) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  # What pods printed, where a kubelet insists on keeping it.
  rm -rf /var/log/pods/gloaming_* "$RUN"
}

case $1 in
  build) build ;;
  up) up ;;
  down) down ;;
  *) sed -n '5,7p' "$0" >&2; exit 2 ;;
esac
