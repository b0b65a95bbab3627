/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/hosts_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A last dot says that a name is whole, and counts for nothing. */
static bool is_same(const char *word, const char *name)
{
	size_t len = strlen(name), word_len = strlen(word);

	len -= len > 0 && name[len - 1] == '.';
	word_len -= word_len > 0 && word[word_len - 1] == '.';
	return len == word_len && len > 0 && strncasecmp(word, name, len) == 0;
}

/* "192.0.2.1 name alias # comment" */
static bool names_it(char *line, const char *name, struct qe_addr *ret_addr)
{
	char *rest = nullptr, *word;

	line[strcspn(line, "#\r\n")] = '\0';
	word = strtok_r(line, " \t", &rest);
	if (!word || qe_addr_parse(ret_addr, word) != QE_OK)
		return false;
	while ((word = strtok_r(nullptr, " \t", &rest))) {
		if (is_same(word, name))
			return true;
	}
	return false;
}

size_t qe_hosts_file_find(struct qe_addr *to, size_t max, const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	struct qe_addr addr;
	char *line = nullptr;
	size_t size = 0, n = 0;

	if (!file)
		return 0;
	while (n < max && getline(&line, &size, file) >= 0) {
		if (names_it(line, name, &addr))
			to[n++] = addr;
	}
	free(line);
	fclose(file);
	return n;
}
