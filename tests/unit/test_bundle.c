#include "config/bundle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static struct error error;
static char directory[64];

/* The layout of the file, written down a second time so that a test can forge one. */
struct forged {
    char magic[8];
    uint64_t size;
    uint64_t index_offset;
    uint64_t count;
    struct {
        uint64_t name_offset;
        uint64_t name_length;
        uint64_t data_offset;
        uint64_t data_size;
    } index[2];
    char bytes[16]; /* "a\0b\0data" */
};

static const struct forged sound = {
    .magic = {'P', 'A', 'W', 'L', 'B', 'N', 'D', '1'},
    .size = sizeof(struct forged),
    .index_offset = offsetof(struct forged, index),
    .count = 2,
    .index = {{offsetof(struct forged, bytes), 1, offsetof(struct forged, bytes) + 4, 4},
              {offsetof(struct forged, bytes) + 2, 1, offsetof(struct forged, bytes) + 4,
               4}},
    .bytes = "a\0b\0data",
};

static struct bundle *open_forged(const void *bytes, size_t size, int seals)
{
    const int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    struct bundle *bundle = bundle_open(fd, &error);
    close(fd);
    return bundle;
}

static void assert_refused(const struct forged *forged, const char *words)
{
    struct bundle *bundle = open_forged(forged, sizeof(*forged), ALL_SEALS);
    assert_null(bundle);
    if (strstr(error.text, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    }
}

static struct bundle *seal_and_open(struct bundle_builder *builder)
{
    const int fd = bundle_seal(builder, &error);
    assert_true(fd >= 0);
    bundle_builder_free(builder);
    struct bundle *bundle = bundle_open(fd, &error);
    close(fd);
    assert_non_null(bundle);
    return bundle;
}

static const char *file_with(const char *name, const void *bytes, size_t size)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test_bundle.XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"chain.pem", "empty", "fifo"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static void blobs_are_found_by_name(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "zebra", "stripes", 7, &error));
    assert_true(bundle_add(builder, "ape", "a\0b", 3, &error));
    assert_true(bundle_add(builder, "nothing", NULL, 0, &error));
    struct bundle *bundle = seal_and_open(builder);
    const struct blob zebra = bundle_find(bundle, "zebra");
    assert_int_equal(zebra.size, 7);
    assert_memory_equal(zebra.data, "stripes", 7);
    const struct blob ape = bundle_find(bundle, "ape");
    assert_int_equal(ape.size, 3);
    assert_memory_equal(ape.data, "a\0b", 3);
    const struct blob nothing = bundle_find(bundle, "nothing");
    assert_non_null(nothing.data);
    assert_int_equal(nothing.size, 0);
    assert_null(bundle_find(bundle, "lion").data);
    assert_null(bundle_find(bundle, "").data);
    bundle_close(bundle);
}

static void empty_bundle_is_sound(void **state)
{
    (void)state;
    struct bundle *bundle = seal_and_open(bundle_builder_new("", &error));
    assert_null(bundle_find(bundle, "a").data);
    bundle_close(bundle);
}

static void many_blobs_are_found(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    char name[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "blob %u", i);
        assert_true(bundle_add(builder, name, &i, sizeof(i), &error));
    }
    struct bundle *bundle = seal_and_open(builder);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "blob %u", i);
        const struct blob blob = bundle_find(bundle, name);
        assert_int_equal(blob.size, sizeof(i));
        assert_memory_equal(blob.data, &i, sizeof(i));
    }
    bundle_close(bundle);
}

static void name_is_taken_once(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "a", "first", 5, &error));
    assert_false(bundle_add(builder, "a", "second", 6, &error));
    assert_string_equal(error.text, "\"a\" is in the bundle already");
    struct bundle *bundle = seal_and_open(builder);
    assert_memory_equal(bundle_find(bundle, "a").data, "first", 5);
    bundle_close(bundle);
}

static void names_are_bounded(void **state)
{
    (void)state;
    char name[BUNDLE_NAME_MAX + 1];
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    memset(name, 'n', sizeof(name));
    name[BUNDLE_NAME_MAX] = '\0';
    assert_false(bundle_add(builder, name, "x", 1, &error));
    assert_false(bundle_add(builder, "", "x", 1, &error));
    name[BUNDLE_NAME_MAX - 1] = '\0';
    assert_true(bundle_add(builder, name, "x", 1, &error));
    struct bundle *bundle = seal_and_open(builder);
    assert_int_equal(bundle_find(bundle, name).size, 1);
    bundle_close(bundle);
}

static void count_of_blobs_is_bounded(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    char name[32];
    for (unsigned i = 0; i < BUNDLE_BLOBS_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        assert_true(bundle_add(builder, name, NULL, 0, &error));
    }
    assert_false(bundle_add(builder, "one more", NULL, 0, &error));
    bundle_close(seal_and_open(builder));
}

static void overlong_title_is_cut(void **state)
{
    (void)state;
    char title[1000];
    memset(title, 't', sizeof(title) - 1);
    title[sizeof(title) - 1] = '\0';
    bundle_close(seal_and_open(bundle_builder_new(title, &error)));
}

static void file_is_captured_under_its_path(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "before", "b", 1, &error));
    const char *path = file_with("chain.pem", "contents", 8);
    assert_true(bundle_add_file(builder, path, 8, &error));
    assert_true(bundle_add(builder, "after", "a", 1, &error));
    file_with("chain.pem", "changed!", 8);
    struct bundle *bundle = seal_and_open(builder);
    const struct blob blob = bundle_find(bundle, path);
    assert_int_equal(blob.size, 8);
    assert_memory_equal(blob.data, "contents", 8);
    assert_memory_equal(bundle_find(bundle, "before").data, "b", 1);
    assert_memory_equal(bundle_find(bundle, "after").data, "a", 1);
    bundle_close(bundle);
}

static void large_file_is_captured_whole(void **state)
{
    (void)state;
    enum { SIZE = 5 * 1024 * 1024 + 3 };
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
    }
    const char *path = file_with("chain.pem", bytes, SIZE);
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add_file(builder, path, SIZE, &error));
    struct bundle *bundle = seal_and_open(builder);
    assert_int_equal(bundle_find(bundle, path).size, SIZE);
    assert_memory_equal(bundle_find(bundle, path).data, bytes, SIZE);
    bundle_close(bundle);
    free(bytes);
}

static void file_is_captured_once(void **state)
{
    (void)state;
    const char *path = file_with("chain.pem", "contents", 8);
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add_file(builder, path, 100, &error));
    file_with("chain.pem", "changed", 7);
    assert_true(bundle_add_file(builder, path, 100, &error));
    struct bundle *bundle = seal_and_open(builder);
    assert_memory_equal(bundle_find(bundle, path).data, "contents", 8);
    bundle_close(bundle);
}

static void path_does_not_pass_for_another_blob(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "config.text", "text", 4, &error));
    assert_false(bundle_add_file(builder, "config.text", 100, &error));
    bundle_builder_free(builder);
}

static void unsuitable_files_are_refused_in_words(void **state)
{
    (void)state;
    char expected[256];
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_false(bundle_add_file(builder, "/nonexistent/key.pem", 100, &error));
    assert_string_equal(
        error.text, "cannot read \"/nonexistent/key.pem\": No such file or directory");
    assert_false(bundle_add_file(builder, directory, 100, &error));
    snprintf(expected, sizeof(expected), "cannot read \"%s\": not a regular file",
             directory);
    assert_string_equal(error.text, expected);
    const char *path = file_with("empty", "", 0);
    assert_false(bundle_add_file(builder, path, 100, &error));
    snprintf(expected, sizeof(expected), "cannot read \"%s\": the file is empty", path);
    assert_string_equal(error.text, expected);
    path = file_with("chain.pem", "contents", 8);
    assert_false(bundle_add_file(builder, path, 7, &error));
    snprintf(expected, sizeof(expected),
             "cannot read \"%s\": the file is over the 7 bytes allowed", path);
    assert_string_equal(error.text, expected);
    bundle_builder_free(builder);
}

static void pipe_is_refused_without_waiting(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/fifo", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_false(bundle_add_file(builder, path, 100, &error));
    assert_non_null(strstr(error.text, "not a regular file"));
    bundle_builder_free(builder);
}

static void failed_file_leaves_no_trace(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "a", "first", 5, &error));
    assert_false(bundle_add_file(builder, "/nonexistent", 100, &error));
    assert_true(bundle_add(builder, "b", "second", 6, &error));
    struct bundle *bundle = seal_and_open(builder);
    assert_null(bundle_find(bundle, "/nonexistent").data);
    assert_memory_equal(bundle_find(bundle, "b").data, "second", 6);
    bundle_close(bundle);
}

static void sealed_bundle_cannot_change(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "a", "first", 5, &error));
    const int fd = bundle_seal(builder, &error);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GET_SEALS) & ALL_SEALS, ALL_SEALS);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    close(fd);
    bundle_builder_free(builder);
}

static void builder_without_seal_is_freed(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_true(bundle_add(builder, "a", "first", 5, &error));
    bundle_builder_free(builder);
    bundle_builder_free(NULL);
    bundle_close(NULL);
}

static void forged_but_sound_bundle_opens(void **state)
{
    (void)state;
    struct bundle *bundle = open_forged(&sound, sizeof(sound), ALL_SEALS);
    assert_non_null(bundle);
    assert_memory_equal(bundle_find(bundle, "b").data, "data", 4);
    assert_ptr_equal(bundle_find(bundle, "a").data, bundle_find(bundle, "b").data);
    bundle_close(bundle);
}

static void every_missing_seal_is_noticed(void **state)
{
    (void)state;
    static const int seals[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
    for (size_t i = 0; i < 4; i++) {
        assert_null(open_forged(&sound, sizeof(sound), ALL_SEALS & ~seals[i]));
        assert_string_equal(error.text, "the bundle is not sealed");
    }
}

static void what_is_no_memory_file_is_refused(void **state)
{
    (void)state;
    const int fd =
        open(file_with("chain.pem", &sound, sizeof(sound)), O_RDONLY | O_CLOEXEC);
    assert_null(bundle_open(fd, &error));
    close(fd);
    assert_null(bundle_open(-1, &error));
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof(sound); size++) {
        assert_null(open_forged(&sound, size, ALL_SEALS));
    }
}

static void header_must_have_magic_and_true_size(void **state)
{
    (void)state;
    struct forged forged = sound;
    forged.size--;
    assert_refused(&forged, "no valid header");
    forged = sound;
    forged.magic[7] = '2';
    assert_refused(&forged, "no valid header");
}

static void index_outside_is_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {sizeof(struct forged),
                                       1ULL << 63,
                                       UINT64_MAX - 7,
                                       UINT64_MAX,
                                       offsetof(struct forged, index) + 1,
                                       offsetof(struct forged, index) + 24};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct forged forged = sound;
        forged.index_offset = offsets[i];
        assert_refused(&forged, "its index lies outside");
    }
}

static void huge_counts_are_refused(void **state)
{
    (void)state;
    static const uint64_t counts[] = {3, BUNDLE_BLOBS_MAX, BUNDLE_BLOBS_MAX + 1,
                                      1ULL << 59, UINT64_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct forged forged = sound;
        forged.count = counts[i];
        assert_null(open_forged(&forged, sizeof(forged), ALL_SEALS));
    }
}

static void data_outside_is_refused(void **state)
{
    (void)state;
    static const uint64_t pairs[][2] = {{sizeof(struct forged), 1},
                                        {sizeof(struct forged) + 1, 0},
                                        {0, sizeof(struct forged) + 1},
                                        {8, UINT64_MAX},
                                        {UINT64_MAX, 8},
                                        {UINT64_MAX - 3, 4},
                                        {1ULL << 63, 1ULL << 63}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct forged forged = sound;
        forged.index[1].data_offset = pairs[i][0];
        forged.index[1].data_size = pairs[i][1];
        assert_refused(&forged, "a blob or name lies outside");
    }
}

static void names_outside_or_unended_are_refused(void **state)
{
    (void)state;
    static const uint64_t pairs[][2] = {{sizeof(struct forged), 1},
                                        {sizeof(struct forged) - 1, 1},
                                        {UINT64_MAX, 1},
                                        {UINT64_MAX - 1, 1},
                                        {offsetof(struct forged, bytes) + 2, 0},
                                        {offsetof(struct forged, bytes) + 2, 2},
                                        {offsetof(struct forged, bytes) + 4, 3},
                                        {offsetof(struct forged, bytes) + 2, UINT64_MAX},
                                        {0, BUNDLE_NAME_MAX}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct forged forged = sound;
        forged.index[1].name_offset = pairs[i][0];
        forged.index[1].name_length = pairs[i][1];
        assert_refused(&forged, "a blob or name lies outside");
    }
}

static void names_twice_or_out_of_order_are_refused(void **state)
{
    (void)state;
    struct forged forged = sound;
    forged.index[1].name_offset = forged.index[0].name_offset;
    assert_refused(&forged, "its names are out of order");
    forged = sound;
    forged.index[0] = sound.index[1];
    forged.index[1] = sound.index[0];
    assert_refused(&forged, "its names are out of order");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_are_found_by_name),
        cmocka_unit_test(empty_bundle_is_sound),
        cmocka_unit_test(many_blobs_are_found),
        cmocka_unit_test(name_is_taken_once),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(count_of_blobs_is_bounded),
        cmocka_unit_test(overlong_title_is_cut),
        cmocka_unit_test(file_is_captured_under_its_path),
        cmocka_unit_test(large_file_is_captured_whole),
        cmocka_unit_test(file_is_captured_once),
        cmocka_unit_test(path_does_not_pass_for_another_blob),
        cmocka_unit_test(unsuitable_files_are_refused_in_words),
        cmocka_unit_test(pipe_is_refused_without_waiting),
        cmocka_unit_test(failed_file_leaves_no_trace),
        cmocka_unit_test(sealed_bundle_cannot_change),
        cmocka_unit_test(builder_without_seal_is_freed),
        cmocka_unit_test(forged_but_sound_bundle_opens),
        cmocka_unit_test(every_missing_seal_is_noticed),
        cmocka_unit_test(what_is_no_memory_file_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(header_must_have_magic_and_true_size),
        cmocka_unit_test(index_outside_is_refused),
        cmocka_unit_test(huge_counts_are_refused),
        cmocka_unit_test(data_outside_is_refused),
        cmocka_unit_test(names_outside_or_unended_are_refused),
        cmocka_unit_test(names_twice_or_out_of_order_are_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
