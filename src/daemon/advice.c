/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/advice.h"

const char *qe_find_advice(const struct qe_advice *rows, enum qe_error error)
{
	for (; rows->text; rows++) {
		if (rows->error == error)
			return rows->text;
	}
	return qe_error_text(error);
}
