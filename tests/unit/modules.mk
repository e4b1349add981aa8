# What each unit test links, and nothing else: the line proves the module's independence.
#   hello := proxy/hello proxy/error
# says that tests/unit/test_hello.c is linked with proxy/hello.c and proxy/error.c.
# proxy/log brings its own parts along.
hello          := proxy/hello proxy/hello_offer proxy/hello_policy proxy/error tests/unit/hello_builder
hello_policy   := proxy/hello proxy/hello_offer proxy/hello_policy proxy/error tests/unit/hello_builder
prove_hello    := proxy/prove_hello proxy/prove_answer proxy/prove_net proxy/prove_names proxy/prove_suites proxy/hello proxy/hello_offer proxy/hello_policy proxy/error tests/unit/hello_builder
offer          := proxy/offer certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/hello proxy/hello_offer proxy/hello_policy proxy/error tests/unit/hello_builder
proxy_protocol := proxy/proxy_protocol
proxy_read     := proxy/proxy_read proxy/error
error          := proxy/error
log            := proxy/log
log_escape     := proxy/log_escape
log_flood      := proxy/log_flood
log_sink       := proxy/log_sink tests/unit/net_pair
log_target     := proxy/log_target proxy/log_timer proxy/log proxy/error
value          := config/value proxy/error
bundle         := config/bundle config/bundle_build config/memory_file proxy/error
bundle_fd      := config/bundle config/bundle_build config/memory_file proxy/error
passphrase     := config/passphrase proxy/error
command        := proxy/command config/passphrase config/memory_file proxy/error tests/unit/net_pair
reader         := config/reader proxy/error
config         := config/config config/expand config/check config/references config/names config/list config/refusal config/keys config/keys_process config/keys_service config/keys_read config/passphrase config/keys_print config/reader config/suggest config/value config/bundle config/bundle_build config/memory_file proxy/error
keys           := config/config config/expand config/check config/references config/names config/list config/refusal config/keys config/keys_process config/keys_service config/keys_read config/passphrase config/keys_print config/reader config/suggest config/value config/bundle config/bundle_build config/memory_file proxy/error

certcheck      := certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/error tests/unit/certs_lab
encrypted_key  := certs/encrypted_key certs/vault config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/memory
encrypted_key_form := certs/encrypted_key certs/vault config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab
keyholder_msg  := certs/keyholder_msg
keyholder      := certs/keyholder certs/keyring config/passphrase certs/private_key certs/encrypted_key certs/vault certs/keyholder_msg certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab
keyholder_client := certs/keyholder_client certs/certstore certs/certificate certs/staple certs/client certs/client_policy certs/client_names config/list certs/ticket_keys certs/tls_policy certs/keyholder certs/keyring config/passphrase certs/private_key certs/encrypted_key certs/vault certs/keyholder_msg certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/tls_pair tests/unit/sign_lab
signing        := certs/keyholder_client certs/certstore certs/certificate certs/staple certs/client certs/client_policy certs/client_names config/list certs/ticket_keys certs/tls_policy certs/keyholder certs/keyring config/passphrase certs/private_key certs/encrypted_key certs/vault certs/keyholder_msg certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/tls_pair tests/unit/sign_lab
certstore      := certs/certstore certs/certificate certs/staple certs/client certs/client_policy certs/client_names config/list certs/ticket_keys certs/vault certs/certcheck certs/pem certs/tls_policy certs/keyholder_client certs/keyholder_msg config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab
client_names   := certs/client_names config/list proxy/error config/bundle config/bundle_build config/memory_file tests/unit/certs_lab
client_policy  := certs/client certs/client_policy certs/client_names certs/pem config/list proxy/error config/bundle config/bundle_build config/memory_file tests/unit/certs_lab
tls_policy     := certs/tls_policy certs/keyholder_client certs/keyholder_msg config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/tls_pair
devcert        := certs/devcert certs/devcert_make certs/certcheck certs/pem certs/private_key certs/encrypted_key certs/vault config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab
keyring        := certs/keyring config/passphrase certs/private_key certs/encrypted_key certs/vault certs/certcheck certs/pem config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/memory
stats          := proxy/stats config/memory_file proxy/error
staple         := certs/staple proxy/error proxy/log
ticket_keys    := certs/ticket_keys certs/tls_policy certs/vault certs/keyholder_client certs/keyholder_msg config/bundle config/bundle_build config/memory_file proxy/error proxy/log tests/unit/certs_lab tests/unit/tls_pair tests/unit/memory

stream_lab     := proxy/stream proxy/pending certs/tls_policy config/bundle config/bundle_build config/memory_file proxy/error tests/unit/stream_pair tests/unit/tls_client tests/unit/net_pair tests/unit/certs_lab
stream         := $(stream_lab)
stream_output  := $(stream_lab)
stream_mix     := $(stream_lab)
relay          := proxy/relay proxy/stream proxy/pending tests/unit/net_pair
backend        := certs/client certs/client_policy certs/client_names certs/pem config/list config/bundle config/bundle_build config/memory_file proxy/backend proxy/stream proxy/pending proxy/proxy_protocol proxy/error tests/unit/net_pair
control        := proxy/control proxy/error tests/unit/net_pair
sockets        := proxy/sockets proxy/error config/value tests/unit/net_pair

config_lab     := config/config config/expand config/check config/references config/names config/list config/refusal config/keys config/keys_process config/keys_service config/keys_read config/passphrase config/keys_print config/reader config/suggest config/value config/bundle config/bundle_build config/memory_file proxy/error
worker_lab     := certs/keyholder_client certs/certstore certs/certificate certs/staple certs/client certs/client_policy certs/client_names certs/ticket_keys certs/tls_policy certs/keyholder certs/keyring config/passphrase certs/private_key certs/encrypted_key certs/vault certs/keyholder_msg certs/certcheck certs/pem proxy/log tests/unit/certs_lab
generation     := proxy/generation proxy/command proxy/layout proxy/file_list $(config_lab) tests/unit/net_pair
route          := proxy/route $(config_lab)
references     := $(config_lab)
list           := config/list proxy/error
generation_reduce := proxy/generation proxy/command proxy/generation_reduce proxy/layout proxy/file_list $(config_lab)
watch          := proxy/watch proxy/file_list proxy/error proxy/log
layout         := proxy/layout proxy/file_list $(config_lab)
expand         := $(config_lab)
landlock       := proxy/landlock proxy/error
call_filter    := proxy/call_filter proxy/error
sandbox        := proxy/sandbox proxy/sandbox_profile proxy/call_filter proxy/landlock proxy/error
snapshot       := proxy/snapshot proxy/route $(worker_lab) $(config_lab)
handshake      := config/list proxy/handshake proxy/offer proxy/route proxy/stream proxy/pending proxy/hello proxy/hello_offer proxy/hello_policy $(worker_lab) config/bundle config/bundle_build config/memory_file proxy/error tests/unit/hello_builder tests/unit/sign_lab tests/unit/tls_pair tests/unit/tls_client tests/unit/net_pair
session        := proxy/reason proxy/origin proxy/proxy_read proxy/session proxy/handshake proxy/offer proxy/route proxy/backend proxy/relay proxy/stream proxy/pending proxy/snapshot proxy/proxy_protocol proxy/hello proxy/hello_offer proxy/hello_policy $(worker_lab) $(config_lab) tests/unit/sign_lab tests/unit/tls_pair tests/unit/tls_client tests/unit/net_pair
