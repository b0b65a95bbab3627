/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/portal_hint.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define KEY "CAPTIVE_PORTAL="
#define UNRESTRICTED "urn:ietf:params:capport:unrestricted" /* RFC 8910, section 2 */

constexpr unsigned lines_max = 200;

static bool read_line(FILE *file, struct qe_text *to)
{
	char line[600];

	if (!fgets(line, sizeof(line), file))
		return false;
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, KEY, strlen(KEY)) == 0 && line[strlen(KEY)] &&
		strcmp(line + strlen(KEY), UNRESTRICTED) != 0)
		qe_text_add_printable(to, line + strlen(KEY));
	return true;
}

static bool read_link(struct qe_text *to, const char *folder, unsigned index)
{
	const size_t before = to->len;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%u", folder, index);
	file = fopen(path, "re");
	if (!file)
		return false;
	for (unsigned i = 0; i < lines_max && to->len == before && read_line(file, to); i++)
		;
	fclose(file);
	return to->len > before;
}

bool qe_portal_hint(struct qe_text *to, const char *folder)
{
	struct if_nameindex *links = if_nameindex();
	bool found = false;

	for (size_t i = 0; links && links[i].if_index != 0 && !found; i++)
		found = read_link(to, folder, links[i].if_index);
	if_freenameindex(links);
	return found;
}
