/*
 * What a function may ask of the platform, when it is granted; each export shows one group of the guest API. Without a C
 * library: build it with -ffreestanding, and call its functions directly. They give 0, or an error number, negated.
 *
 *   keep()      store the input under the key tour/last; all keys below tour/ go to the output (grant kv:tour/)
 *   recall()    what was kept last (kv:tour/)
 *   claim()     become the owner of the tour by the name in the input, if there is none yet: else EAGAIN (kv:tour/)
 *   count()     how often it was called, also by others at the same time: its result (kv:tour/)
 *   keys()      the keys below tour/ (kv:tour/)
 *   change()    make the changes in the input, a JSON list, in one transaction (kv:tour/)
 *   forget()    remove what was kept last (kv:tour/)
 *   publish()   register the input, a module, as the function tour/published; the output is its blob id
 *               (register:tour/published)
 *   store()     keep the input as a blob without a name; the output is its id (register, for everything: the sample is
 *               registered without it)
 *   fetch()     the bytes of the blob or function that the input names (blob)
 *   locate()    the blob id of the function that the input names (blob)
 *   shout()     call the function uppercase with the input (call:uppercase)
 *   look()      what runs, as JSON (status)
 *   backup()    all that is stored, as JSON (export)
 */

#include <moc/core.h>

#define TEXT(literal) literal, sizeof(literal) - 1

static char room[1 << 20];

/* Read the whole input; its size, or an error. */
static int32_t read_input(void) {
    int32_t size = 0, part;
    do {
        part = read_exchange_buffer(get_input_buffer_id(), room + size, (int32_t)sizeof room - size);
        if (part < 0) return part;
        size += part;
    } while (part > 0);
    return size;
}

/* Pass on what a function gave: an error as it is, and the bytes of a buffer to the output. */
static int32_t give(const char *name, int32_t name_length, int32_t buffer) {
    int32_t part;
    if (buffer < 0) {
        moc_log(MOC_ERROR, name, name_length);
        return buffer;
    }
    while ((part = read_exchange_buffer(buffer, NULL, 0)) > 0) {
        char *bytes = moc_allocate((size_t)part);
        if (!bytes) return -48; /* ENOMEM */
        read_exchange_buffer(buffer, bytes, part);
        write_exchange_buffer(get_output_buffer_id(), bytes, part);
    }
    return free_buffer(buffer);
}

int32_t keep(void) {
    int32_t size = read_input();
    int32_t error = size < 0 ? size : persistence_set(TEXT("tour/last"), room, size);
    return error ? error : give(TEXT("no key was read"), persistence_get_subset(TEXT("tour/")));
}

int32_t recall(void) { return give(TEXT("nothing was kept"), persistence_get(TEXT("tour/last"))); }

int32_t claim(void) {
    int32_t size = read_input();
    return size < 0 ? size : persistence_compare_and_set(TEXT("tour/owner"), NULL, -1, room, size);
}

int32_t count(void) {
    int64_t number = 1;
    int32_t error = persistence_increment(TEXT("tour/count"), &number, sizeof number);
    return error ? error : (int32_t)number;
}

int32_t keys(void) { return give(TEXT("no key was listed"), persistence_list(TEXT("tour/"), NULL, 0, 1000)); }

int32_t change(void) {
    int32_t size = read_input();
    return size < 0 ? size : give(TEXT("nothing was changed"), persistence_apply(room, size));
}

int32_t forget(void) { return persistence_delete(TEXT("tour/last")); }

int32_t publish(void) {
    int32_t size = read_input();
    if (size < 0) return size;
    return give(TEXT("nothing was registered"),
                register_blob_with_name(TEXT("tour/published"), TEXT("application/wasm"), room, size));
}

int32_t store(void) {
    int32_t size = read_input();
    return size < 0 ? size : give(TEXT("nothing was stored"), register_blob(TEXT("text/plain"), room, size));
}

int32_t fetch(void) {
    int32_t size = read_input();
    return size < 0 ? size : give(TEXT("no blob was read"), get_blob_bytes_as_string(room, size));
}

int32_t locate(void) {
    int32_t size = read_input();
    return size < 0 ? size : give(TEXT("no blob was found"), get_blob_tech_id_from_name(room, size));
}

int32_t shout(void) {
    return call_function(TEXT("uppercase"), NULL, 0, NULL, 0, TEXT("posix"), get_input_buffer_id(),
                         get_output_buffer_id(), NULL, 0, NULL, 0);
}

int32_t look(void) { return give(TEXT("there is no status"), get_status()); }

int32_t backup(void) { return give(TEXT("nothing was exported"), export_database()); }
