/* Blobs that are captured from a descriptor. */
#include "config/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error error;
static char path[] = "/tmp/pawl-test-bundle-fd-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    const bool ok = fd >= 0 && write(fd, "contents", 8) == 8;
    (void)close(fd);
    return ok ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void descriptor_is_captured_from_its_beginning_under_a_name(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    const int fd = bundle_open_file(path, 8, &error);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    assert_true(bundle_add_fd(builder, "one", fd, 8, &error));
    assert_true(bundle_add_fd(builder, "two", fd, 5, &error));
    (void)close(fd);
    const int sealed = bundle_seal(builder, &error);
    bundle_builder_free(builder);
    struct bundle *bundle = bundle_open(sealed, &error);
    assert_non_null(bundle);
    (void)close(sealed);
    assert_int_equal(bundle_find(bundle, "one").size, 8);
    assert_memory_equal(bundle_find(bundle, "one").data, "contents", 8);
    assert_int_equal(bundle_find(bundle, "two").size, 5);
    assert_memory_equal(bundle_find(bundle, "two").data, "conte", 5);
    bundle_close(bundle);
}

static void a_name_can_be_taken_once(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    const int fd = bundle_open_file(path, 8, &error);
    assert_true(bundle_add_fd(builder, "one", fd, 8, &error));
    assert_false(bundle_add_fd(builder, "one", fd, 8, &error));
    assert_string_equal(error.text, "\"one\" is in the bundle already");
    assert_false(bundle_add_fd(builder, "", fd, 8, &error));
    (void)close(fd);
    assert_false(bundle_add_fd(builder, "two", -1, 8, &error));
    bundle_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptor_is_captured_from_its_beginning_under_a_name),
        cmocka_unit_test(a_name_can_be_taken_once),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
