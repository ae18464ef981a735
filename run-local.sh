#!/usr/bin/env bash
# Runs one side from this working tree in the place of its pods, for debugging, and puts the pods back afterwards.
#
# The Deployment is scaled to 0 and remembers its replicas in an annotation, both in one write, so that at no moment one
# is without the other. Whatever ends this script puts them back: the end of the service, Ctrl-C, TERM, an error; a kill
# -9 is noticed by a watcher beside it. Should the machine die, the next run here or `--restore` from anywhere does it.
set -euo pipefail

readonly ANNOTATION=dr-syncer.io/run-local
readonly MANAGER=dr-syncer-run-local
readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly KUBECTL=${KUBECTL:-kubectl}
readonly PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
readonly GONE_SECONDS=60

usage() {
  cat <<'TEXT'
Usage: ./run-local.sh KUBECONFIG [exporter|importer] [options] [-- arguments of dr-syncer serve]

Scales the Deployment of that side to 0, runs the service from this working tree with the same configuration and
credentials, and scales it back when it ends.

  --restore         only put back what an earlier run left scaled down
  --context NAME    the context in KUBECONFIG; default: its current one
  --namespace NAME  where the Deployment is; default: looked for in all namespaces
  --config FILE     a configuration of your own; default: that of the Deployment, with its Secrets, in a folder that
                    only you can read and that is removed at the end
  --port N          where metrics and health are served, at 127.0.0.1; default: as configured

Examples:
  ./run-local.sh ~/.kube/prod exporter
  ./run-local.sh ~/.kube/dr importer --port 18080 -- -vv
  ./run-local.sh ~/.kube/dr importer --restore
TEXT
}

say() { printf 'run-local: %s\n' "$*" >&2; }
fail() { say "$1"; [ $# -lt 2 ] || printf '  %s\n' "$2" >&2; exit "${3:-1}"; }

kube() { "$KUBECTL" --kubeconfig "$kubeconfig" ${context:+--context "$context"} "$@"; }

# What is asked for

kubeconfig='' side='' context='' namespace='' config='' port='' restore=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --restore) restore=yes; shift ;;
    --context | --namespace | --config | --port)
      [ $# -gt 1 ] || fail "$1 needs a value" 'Try ./run-local.sh --help' 2
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    --) shift; break ;;
    -*) fail "there is no option $1" 'Try ./run-local.sh --help' 2 ;;
    exporter | importer) side=$1; shift ;;
    *) [ -z "$kubeconfig" ] || fail "expected exporter or importer, not $1" 'Try ./run-local.sh --help' 2
       kubeconfig=$1; shift ;;
  esac
done
[ -n "$kubeconfig" ] || { usage >&2; exit 2; }

# Is it there, and may we?

[ -f "$kubeconfig" ] && [ -r "$kubeconfig" ] || fail "$kubeconfig: no such file, or it cannot be read" \
  'The first argument is the kubeconfig of the cluster.' 2
command -v "$KUBECTL" >/dev/null || fail "$KUBECTL is not there" 'Install kubectl, or name it as KUBECTL=…' 2
[ -n "$restore" ] || [ -x "$PYTHON" ] || fail "$PYTHON is not there" 'Run `make venv` first.' 2
[ -z "$config" ] || [ -r "$config" ] || fail "$config: no such file, or it cannot be read" '' 2

selector="app.kubernetes.io/part-of=dr-syncer${side:+,app.kubernetes.io/component=$side}"
list='{{range .items}}{{.metadata.namespace}} {{.metadata.name}} {{index .metadata.labels "app.kubernetes.io/component"}}{{"\n"}}{{end}}'
where=(--all-namespaces); [ -z "$namespace" ] || where=(--namespace "$namespace")
found=$(kube get deployments "${where[@]}" -l "$selector" -o go-template="$list") ||
  fail 'the Deployments cannot be listed' 'See the message above; with --namespace, less is asked for.'
case $(printf '%s' "$found" | grep -c .) in
  1) read -r namespace deployment side <<<"$found" ;;
  0) fail "there is no Deployment of DR-Syncer${side:+ ($side)} ${namespace:+in namespace $namespace }in this cluster" \
       'Is it the right kubeconfig and --context? `helm list -A` shows what is installed.' ;;
  *) fail 'there are several:' "$(printf '%s' "$found" | tr '\n' ';') name one by exporter or importer, and --namespace" 2 ;;
esac
for right in get patch; do
  kube auth can-i "$right" "deployments/$deployment" --namespace "$namespace" >/dev/null 2>&1 ||
    fail "this user may not $right the Deployment $namespace/$deployment" 'Use a kubeconfig that may.'
done

# The Deployment's memory: "REPLICAS USER@HOST PID TIME"

field() { kube get deployment "$deployment" --namespace "$namespace" -o go-template="$1"; }
remembered() { field "{{with .metadata.annotations}}{{with index . \"$ANNOTATION\"}}{{.}}{{end}}{{end}}"; }
lives() { case $(ps -o stat= -p "$1") in '' | Z*) return 1 ;; esac; }
is_alive() { [ -n "${1:-}" ] && lives "$1" && ps -o args= -p "$1" | grep -q run-local; }

write() { kube patch deployment "$deployment" --namespace "$namespace" --field-manager "$MANAGER" "$@" >/dev/null; }

# Helm applies server-side: it would not touch replicas that are said to be ours, not even after we have put them back.
let_go() {
  local entries index
  entries="{{range \$i, \$e := .metadata.managedFields}}{{if eq \$e.manager \"$MANAGER\"}}{{\$i}} {{end}}{{end}}"
  for _ in 1 2 3 4 5; do
    index=$(field "$entries") || return 0
    [ -n "$index" ] || return 0
    index=${index%% *}
    write --type json --patch "[
      {\"op\": \"test\", \"path\": \"/metadata/managedFields/$index/manager\", \"value\": \"$MANAGER\"},
      {\"op\": \"remove\", \"path\": \"/metadata/managedFields/$index\"}]" || true
  done
}

put_back() {
  local memory replicas now
  memory=$(remembered) || return 1
  [ -n "$memory" ] || { let_go; return 0; }
  replicas=${memory%% *}
  now=$(field '{{.spec.replicas}}') || return 1
  if [ "$now" != 0 ]; then
    say "$namespace/$deployment was scaled to $now meanwhile: it stays so"
    replicas=$now
  fi
  write --type merge --patch \
    "{\"metadata\": {\"annotations\": {\"$ANNOTATION\": null}}, \"spec\": {\"replicas\": $replicas}}" || return 1
  let_go
  say "$namespace/$deployment has its $replicas replicas back"
}

put_back_surely() {
  local try
  for try in 1 2 3 4 5; do
    put_back && return 0
    sleep "$try"
  done
  say "$namespace/$deployment could not be scaled back"
  say "once the cluster answers: ./run-local.sh $kubeconfig $side --namespace $namespace --restore"
  return 1
}

memory=$(remembered)
read -r replicas who pid _ <<<"$memory" || true
here=$(id -un)@$(uname -n)
if [ -n "$memory" ] && [ "$who" = "$here" ] && is_alive "$pid"; then
  fail "another run is at work here, with process id $pid" 'End it, and it puts the replicas back by itself.'
fi
if [ -n "$restore" ]; then
  [ -n "$memory" ] || say "$namespace/$deployment is as it should be: nothing to put back"
  put_back_surely
  exit
fi
if [ -n "$memory" ] && [ "$who" != "$here" ]; then
  fail "$who runs this in the place of $namespace/$deployment (or did, and was killed)" \
    "Ask; or put the replicas back: ./run-local.sh $kubeconfig $side --namespace $namespace --restore"
fi

# From here on, whatever happens is put right

folder=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/dr-syncer-local.XXXXXX")
service='' watcher=''
ended() { # whether the service has; after 15 seconds it is made to
  local waited=0
  kill -TERM "$service" 2>/dev/null || return 0
  while kill -0 "$service" 2>/dev/null && [ $((waited += 1)) -lt 75 ]; do sleep 0.2; done
  kill -KILL "$service" 2>/dev/null || true
}
finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  [ -z "$watcher" ] || kill -KILL "$watcher" 2>/dev/null || true
  [ -z "$service" ] || ended
  rm -rf "$folder"
  put_back_surely || code=1
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

if [ -z "$config" ]; then
  say "taking configuration and Secrets of $namespace/$deployment"
  files='{{range .spec.template.spec.volumes}}{{if eq .name "config"}}{{range .projected.sources}}'
  files+='{{with .configMap}}{{$n := .name}}{{range .items}}configmap {{$n}} {{.key}} {{.path}}{{"\n"}}{{end}}{{end}}'
  files+='{{with .secret}}{{$n := .name}}{{range .items}}secret {{$n}} {{.key}} {{.path}}{{"\n"}}{{end}}{{end}}'
  files+='{{end}}{{end}}{{end}}'
  field "$files" >"$folder/files"
  while read -r kind name key path; do
    decode=''; [ "$kind" = configmap ] || decode=' | base64decode'
    mkdir -p "$folder/$(dirname "$path")"
    (umask 077 && kube get "$kind" "$name" --namespace "$namespace" \
      -o go-template="{{with index .data \"$key\"}}{{.$decode}}{{end}}" >"$folder/$path") </dev/null
    [ -s "$folder/$path" ] || fail "the $kind $namespace/$name has no key $key"
  done <"$folder/files"
  config=$folder/dr-syncer.yaml
  [ -s "$config" ] || fail "$namespace/$deployment was not made by the chart" 'Name a configuration with --config FILE.'
  sed -i.before -e 's/^  address: .*/  address: 127.0.0.1/' "$config"
  [ -z "$port" ] || sed -i.before -e '/^  port: /d' -e "s/^  address: .*/&\\
  port: $port/" "$config"
fi

if [ -n "$memory" ]; then
  say "an earlier run was killed; its memory of $replicas replicas is taken over"
else
  replicas=$(field '{{.spec.replicas}}')
fi
say "scaling $namespace/$deployment from $replicas to 0"
version=$(field '{{.metadata.resourceVersion}}')
write --type merge --patch "{
  \"metadata\": {\"resourceVersion\": \"$version\", \"annotations\": {
    \"$ANNOTATION\": \"$replicas $here $$ $(date -u +%Y-%m-%dT%H:%M:%SZ)\"}},
  \"spec\": {\"replicas\": 0}}"
pods=$(field '{{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}')
kube wait pods --namespace "$namespace" -l "${pods%,}" --for=delete --timeout="${GONE_SECONDS}s" >/dev/null ||
  say "some pods are still ending; they have given their lead back, or lose it within seconds"

say "running the $side from $ROOT; Ctrl-C ends it"
export KUBECONFIG=$kubeconfig PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
"$PYTHON" -m cli.main serve "$side" --config "$config" ${context:+--context "$context"} "$@" &
service=$!
(
  trap '' INT HUP
  while lives $$; do sleep 1; done
  say 'the script was killed; putting things right'
  ended
  rm -rf "$folder"
  put_back_surely
) &
watcher=$!
disown "$watcher"  # the shell shall not report that it was ended
wait "$service"
