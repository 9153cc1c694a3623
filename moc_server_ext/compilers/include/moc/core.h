/*
 * The guest API of moc, import module `core`: what a guest may ask of its host.
 *
 * Numbers are 32 bits; bytes and texts are a pointer and a length. A negative number is an error, -errno (errno.h of
 * wasi-libc has the same numbers). Functions that give bytes back return the id of a new exchange buffer that holds
 * them: read it with read_exchange_buffer, then hand it to free_buffer. Ids are known within one call only.
 *
 * It needs no C library.
 */

#ifndef MOC_CORE_H
#define MOC_CORE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOC_CORE(name) __attribute__((import_module("core"), import_name(name)))

/* -- exchange buffers ---------------------------------------------------------------------------------------------- */

MOC_CORE("get_input_buffer_id") int32_t get_input_buffer_id(void);
MOC_CORE("get_output_buffer_id") int32_t get_output_buffer_id(void);

/* Make an empty buffer; its id. */
MOC_CORE("create_exchange_buffer") int32_t create_exchange_buffer(void);
MOC_CORE("free_buffer") int32_t free_buffer(int32_t id);

/* Append bytes, headers, the status code. */
MOC_CORE("write_exchange_buffer") int32_t write_exchange_buffer(int32_t id, const void *bytes, int32_t length);
MOC_CORE("write_exchange_buffer_header")
int32_t write_exchange_buffer_header(int32_t id, const char *name, int32_t name_length, const char *value,
                                     int32_t value_length);
MOC_CORE("write_exchange_buffer_status_code") int32_t write_exchange_buffer_status_code(int32_t id, int32_t status_code);

/* Copy the next unread part to `bytes`, which has room for `capacity`: the number of bytes copied, 0 at the end. With
   `bytes` NULL nothing is copied, and the number is the part's size; a part that is larger than `capacity` stays unread,
   and the number is -EMSGSIZE. */
MOC_CORE("read_exchange_buffer") int32_t read_exchange_buffer(int32_t id, void *bytes, int32_t capacity);

/* The headers as a JSON object, in a new buffer. */
MOC_CORE("read_exchange_buffer_headers") int32_t read_exchange_buffer_headers(int32_t id);

/* -- log and clock ------------------------------------------------------------------------------------------------- */

/* Write one line to the call's log, which is its stderr. */
MOC_CORE("print_debug") int32_t print_debug(const char *text, int32_t length);
/* 1 while the call is traced, else 0. */
MOC_CORE("is_trace") int32_t is_trace(void);
/* Nanoseconds since 1970, UTC; `length` is the size of what `nanoseconds` points to, 8. */
MOC_CORE("get_time") int32_t get_time(int64_t *nanoseconds, int32_t length);

/* -- base64: the result in a new buffer ---------------------------------------------------------------------------- */

MOC_CORE("base64_encode") int32_t base64_encode(const void *bytes, int32_t length);
MOC_CORE("base64_decode") int32_t base64_decode(const char *text, int32_t length);

/* -- key-values: need the grant kv:PREFIX -------------------------------------------------------------------------- */

MOC_CORE("persistence_set")
int32_t persistence_set(const void *key, int32_t key_length, const void *value, int32_t value_length);
/* The value, in a new buffer. */
MOC_CORE("persistence_get") int32_t persistence_get(const void *key, int32_t key_length);
/* All keys that begin with `prefix` and their values, as a JSON object, in a new buffer. */
MOC_CORE("persistence_get_subset") int32_t persistence_get_subset(const void *prefix, int32_t prefix_length);

/* -- calls: need the grant call:NAME ------------------------------------------------------------------------------- */

struct moc_string {
    const char *text;
    int32_t length;
};

/* Call a function in an instance of its own and wait for its end. `mode` is "direct" (an export, with `arguments`) or
   "posix" (a program, with `posix_arguments`); an empty mode or start function is chosen by what the module exports.
   What is unread of buffer `input_id` is its input, and its output is added to buffer `output_id`; 0 stands for none.
   The result of a direct call or the exit code of a posix one. `posix_file_name` is ignored. */
MOC_CORE("call_function")
int32_t call_function(const char *name, int32_t name_length, const char *start_function, int32_t start_function_length,
                      const int32_t *arguments, int32_t arguments_count, const char *mode, int32_t mode_length,
                      int32_t input_id, int32_t output_id, const char *posix_file_name, int32_t posix_file_name_length,
                      const struct moc_string *posix_arguments, int32_t posix_arguments_count);

/* -- outbound requests: need an allowed host ----------------------------------------------------------------------- */

/* Send a GET request and wait for the whole answer: its body, in a new buffer, whose headers are the answer's, with the
   status code among them as x-moc-status-code. */
MOC_CORE("get_url") int32_t get_url(const char *url, int32_t url_length);

#undef MOC_CORE

#ifdef __cplusplus
}
#endif

#endif
