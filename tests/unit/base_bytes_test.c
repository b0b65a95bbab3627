/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "random.h"

#define ROUNDS 20000

static void equal_means_equal(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t len = random_below(sizeof(a));
		struct qe_bytes x = {a, len}, y = {b, len};

		random_fill(a, sizeof(a));
		memcpy(b, a, sizeof(a));
		assert_true(qe_bytes_equal(x, y) && qe_bytes_equal_secret(x, y));
		if (len == 0)
			continue;
		b[random_below(len)] ^= (uint8_t)(1u << random_below(8));
		assert_false(qe_bytes_equal(x, y) || qe_bytes_equal_secret(x, y));
		y.len--;
		assert_false(qe_bytes_equal(x, y) || qe_bytes_equal_secret(x, y));
	}
	assert_true(qe_bytes_equal((struct qe_bytes){}, (struct qe_bytes){a, 0}));
}

/* Writes random integers and bytes into a buffer that is too small more often than not, and reads
 * them back: what fitted must be there, and nothing after the first that did not. */
static void cursors_agree(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t capacity = random_below(48), fitted = 0, expected_len = 0;
		uint8_t *buffer = malloc(capacity + 1), blob[8];
		uint64_t values[12];
		unsigned sizes[12];
		struct qe_writer writer = qe_writer_init(buffer, capacity);
		struct qe_reader reader;
		bool full = false;

		random_fill(blob, sizeof(blob));
		for (unsigned i = 0; i < 12; i++) {
			values[i] = random_u64();
			sizes[i] = 1u << random_below(4);
			values[i] &= UINT64_MAX >> (64 - 8 * sizes[i]);
			if (sizes[i] == 1)
				qe_write_u8(&writer, (uint8_t)values[i]);
			else if (sizes[i] == 2)
				qe_write_u16(&writer, (uint16_t)values[i]);
			else if (sizes[i] == 4)
				qe_write_u32(&writer, (uint32_t)values[i]);
			else
				qe_write_u64(&writer, values[i]);
			full = full || expected_len + sizes[i] > capacity;
			if (!full) {
				expected_len += sizes[i];
				fitted++;
			}
		}
		assert_int_equal(qe_writer_len(&writer), expected_len);
		assert_int_equal(writer.error, full ? QE_ERR_FULL : QE_OK);

		reader = qe_reader_init((struct qe_bytes){buffer, expected_len});
		for (unsigned i = 0; i < 12; i++) {
			uint64_t value = sizes[i] == 1   ? qe_read_u8(&reader)
					 : sizes[i] == 2 ? qe_read_u16(&reader)
					 : sizes[i] == 4 ? qe_read_u32(&reader)
							 : qe_read_u64(&reader);

			assert_int_equal(value, i < fitted ? values[i] : 0);
		}
		assert_int_equal(reader.error, full ? QE_ERR_TRUNCATED : QE_OK);
		free(buffer);
	}
}

static void errors_stick(void **state)
{
	static const uint8_t input[4] = {1, 2, 3, 4};
	struct qe_reader reader = qe_reader_init((struct qe_bytes){input, sizeof(input)});
	uint8_t copy[3] = {9, 9, 9}, output[4] = {};
	struct qe_writer writer = qe_writer_init(output, sizeof(output));

	(void)state;
	assert_int_equal(qe_read_bytes(&reader, 2).len, 2);
	qe_read_copy(&reader, copy, 3);
	assert_memory_equal(copy, "\0\0\0", 3);
	assert_int_equal(reader.error, QE_ERR_TRUNCATED);
	assert_int_equal(qe_read_u8(&reader), 0);
	assert_int_equal(qe_reader_left(&reader), 0);
	assert_null(qe_read_bytes(&reader, 0).data);

	qe_write_bytes(&writer, (struct qe_bytes){input, 3});
	qe_write_u16(&writer, 0xffff);
	qe_write_u8(&writer, 0xff);
	assert_int_equal(writer.error, QE_ERR_FULL);
	assert_int_equal(qe_writer_len(&writer), 3);
	assert_memory_equal(output, "\1\2\3\0", 4);

	reader = qe_reader_init((struct qe_bytes){});
	qe_read_skip(&reader, 0);
	assert_int_equal(reader.error, QE_OK);
	qe_read_skip(&reader, SIZE_MAX);
	assert_int_equal(reader.error, QE_ERR_TRUNCATED);
}

static void loads_and_stores(void **state)
{
	uint8_t at[4];

	(void)state;
	qe_store_u32(at, 0x01020384);
	assert_memory_equal(at, "\x01\x02\x03\x84", 4);
	assert_int_equal(qe_load_u32(at), 0x01020384);
	qe_store_u16(at, 0xfeff);
	assert_int_equal(qe_load_u16(at), 0xfeff);
}

static void errors_have_texts(void **state)
{
	(void)state;
	for (int error = -1015; error <= -1000; error++)
		assert_string_not_equal(qe_error_text((enum qe_error)error), "Unknown error");
	assert_string_equal(qe_error_text(QE_OK), "Success");
	assert_string_equal(qe_error_text((enum qe_error) - ENOENT), "No such file or directory");
	assert_string_equal(qe_error_text((enum qe_error) - 999), "Unknown system error");
	assert_string_equal(qe_error_text((enum qe_error)7), "Unknown error");
	errno = EPERM;
	assert_int_equal(qe_error_errno(), -EPERM);
	errno = 0;
	assert_int_equal(qe_error_errno(), QE_ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_means_equal),
		cmocka_unit_test(cursors_agree),
		cmocka_unit_test(errors_stick),
		cmocka_unit_test(loads_and_stores),
		cmocka_unit_test(errors_have_texts),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
