/* Sections that name a directory, and the index that says what is in it. */
#include "config/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "[listener web]\naddress = 127.0.0.1:8443\n"
                           "[certificate one]\nchain = /one.pem\nkey = /one.key\n"
                           "[certificate sites]\ndirectory = /sites\n"
                           "[certificate two]\nchain = /two.pem\nkey = /two.key\n"
                           "[backend app]\naddress = 127.0.0.1:3000\n";

static struct config *config;
static struct report report;
static FILE *stream;
static char *index_bytes;
static size_t index_size;

static int begin(void **state)
{
    (void)state;
    config = config_read(text, strlen(text), "/proxy.ini", &report);
    assert_int_equal(report.count, 0);
    stream = open_memstream(&index_bytes, &index_size);
    return stream ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    config_free(config);
    report_close(&report);
    free(index_bytes);
    index_bytes = NULL;
    return 0;
}

static void expand(void)
{
    assert_int_equal(fclose(stream), 0);
    assert_true(expand_directories(config, index_bytes, index_size));
}

static void a_directory_becomes_its_certificates_in_its_place(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "sites/a", "sites/b", "two"};
    expand_write(stream, 1, "a", "/sites/a.pem", "/sites/a.key");
    expand_write(stream, 1, "b", "/sites/b.pem", "/sites/b.key");
    expand();
    assert_int_equal(config->certificate_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(config->certificates[i].section.name, names[i]);
    assert_string_equal(config->certificates[2].chain, "/sites/b.pem");
    assert_string_equal(config->certificates[2].key, "/sites/b.key");
    assert_int_equal(config->certificates[2].chain_line, 7);
    assert_int_equal(config->certificates[2].section.line, 6);
}

static void the_only_one_has_the_name_of_its_section(void **state)
{
    (void)state;
    expand_write(stream, 1, "", "/sites/tls.crt", "/sites/tls.key");
    expand();
    assert_string_equal(config->certificates[1].section.name, "sites");
}

static void each_certificate_has_the_passphrase_of_its_section(void **state)
{
    (void)state;
    config->certificates[1].passphrase_file = strdup("/pass");
    config->certificates[1].passphrase_file_line = 8;
    expand_write(stream, 1, "a", "/sites/a.pem", "/sites/a.key");
    expand_write(stream, 1, "b", "/sites/b.pem", "/sites/b.key");
    expand();
    assert_null(config->certificates[0].passphrase_file);
    for (size_t i = 1; i <= 2; i++) {
        assert_string_equal(config->certificates[i].passphrase_file, "/pass");
        assert_int_equal(config->certificates[i].passphrase_file_line, 8);
        assert_null(config->certificates[i].passphrase_command);
    }
}

static void a_command_is_passed_on_like_a_file(void **state)
{
    (void)state;
    config->certificates[1].passphrase_command = strdup("/bin/x y");
    config->certificates[1].passphrase_command_line = 8;
    expand_write(stream, 1, "", "/sites/tls.crt", "/sites/tls.key");
    expand();
    assert_string_equal(config->certificates[1].passphrase_command, "/bin/x y");
    assert_int_equal(config->certificates[1].passphrase_command_line, 8);
}

static void an_empty_directory_leaves_nothing(void **state)
{
    (void)state;
    expand();
    assert_int_equal(config->certificate_count, 2);
    assert_string_equal(config->certificates[1].section.name, "two");
}

static void sections_that_name_files_take_nothing_from_an_index(void **state)
{
    (void)state;
    expand_write(stream, 0, "a", "/a.pem", "/a.key");
    expand_write(stream, 1, "b", "/b.pem", "/b.key");
    expand();
    assert_int_equal(config->certificate_count, 2);
    assert_string_equal(config->certificates[0].chain, "/one.pem");
}

static void a_record_that_is_cut_ends_the_index(void **state)
{
    (void)state;
    expand_write(stream, 1, "a", "/a.pem", "/a.key");
    fprintf(stream, "1%cb%c/b.pem%c/b.key", 0, 0, 0);
    expand();
    assert_int_equal(config->certificate_count, 3);
    assert_string_equal(config->certificates[1].section.name, "sites/a");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_becomes_its_certificates_in_its_place),
        TEST(the_only_one_has_the_name_of_its_section),
        TEST(each_certificate_has_the_passphrase_of_its_section),
        TEST(a_command_is_passed_on_like_a_file),
        TEST(an_empty_directory_leaves_nothing),
        TEST(sections_that_name_files_take_nothing_from_an_index),
        TEST(a_record_that_is_cut_ends_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
