/*
 * A guest as the very first ones were: a `_start` that takes numbers and gives one back, called in direct mode, and the
 * names that functions had before there was a header.
 */

#include <stdint.h>

#define WASM_IMPORT(NAME) __attribute__((import_module("my-own-cluster"))) __attribute__((import_name(NAME)))

WASM_IMPORT("test") uint32_t test();
WASM_IMPORT("register_buffer") uint32_t register_buffer(void *buffer, int length);
WASM_IMPORT("get_buffer_size") uint32_t get_buffer_size(int buffer_id);
WASM_IMPORT("get_exchange_buffer_size") uint32_t get_exchange_buffer_size(int buffer_id);
WASM_IMPORT("get_buffer") uint32_t get_buffer(int buffer_id, void *buffer, int length);
WASM_IMPORT("get_buffer_headers") uint32_t get_buffer_headers(int buffer_id);
WASM_IMPORT("free_buffer") uint32_t free_buffer(int buffer_id);

uint32_t _start(int a, int b) {
    char sent[6] = "buffer", got[6];
    test();
    int id = register_buffer(sent, sizeof sent);
    if (get_buffer_size(id) != sizeof sent || get_exchange_buffer_size(id) != sizeof sent) return 1;
    if (get_buffer(id, got, sizeof got) != sizeof got) return 2;
    for (int i = 0; i < (int)sizeof sent; i++)
        if (sent[i] != got[i]) return 3;
    int headers = get_buffer_headers(id);
    if (get_buffer_size(headers) != 2 || free_buffer(headers) || free_buffer(id)) return 4;
    return 700 + a - b;
}
