/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/lookup.h"

#include <string.h>

constexpr qe_time TRY = QE_SECOND;
constexpr unsigned ROUNDS = 2;
constexpr unsigned ALIASES_MAX = 8;

static void begin(struct qe_dns_lookup *lookup)
{
	lookup->halves[0] = (struct qe_dns_lookup_half){.type = QE_DNS_AAAA};
	lookup->halves[1] = (struct qe_dns_lookup_half){.type = QE_DNS_A};
	lookup->leads_on = false;
}

enum qe_error qe_dns_lookup_init(
	struct qe_dns_lookup *ret_lookup, const char *name, size_t n_servers)
{
	struct qe_dns_lookup lookup = {.n_servers = n_servers};

	QE_TRY(qe_dns_name_parse(&lookup.name, name));
	begin(&lookup);
	*ret_lookup = lookup;
	return QE_OK;
}

size_t qe_dns_lookup_server(const struct qe_dns_lookup *lookup)
{
	return lookup->tries % lookup->n_servers;
}

static struct qe_dns_question question_of(const struct qe_dns_lookup *lookup, unsigned half)
{
	return (struct qe_dns_question){.name = lookup->name, .type = lookup->halves[half].type};
}

size_t qe_dns_lookup_question(
	struct qe_dns_lookup *lookup, unsigned half, uint64_t random, void *to, size_t capacity)
{
	struct qe_dns_question question = question_of(lookup, half);

	lookup->halves[half].id = (uint16_t)random;
	return qe_dns_write_question(to, capacity, &question, lookup->halves[half].id, true);
}

void qe_dns_lookup_sent(struct qe_dns_lookup *lookup, qe_time now)
{
	lookup->until = now + TRY;
}

/* Those of the second half are put between those of the first: whoever tries them in order loses
 * little where one family leads nowhere. */
static void add_addrs(struct qe_dns_lookup *lookup, const struct qe_addr *addrs, size_t n)
{
	struct qe_addr first[QE_DNS_LOOKUP_ADDRS_MAX];
	size_t n_first = lookup->n;

	memcpy(first, lookup->addrs, sizeof(first));
	lookup->n = 0;
	for (size_t i = 0; i < n || i < n_first; i++) {
		if (i < n_first && lookup->n < QE_DNS_LOOKUP_ADDRS_MAX)
			lookup->addrs[lookup->n++] = first[i];
		if (i < n && lookup->n < QE_DNS_LOOKUP_ADDRS_MAX)
			lookup->addrs[lookup->n++] = addrs[i];
	}
}

/* Both halves have an answer. An alias whose addresses the server did not tell is asked for. */
static enum qe_dns_progress conclude(struct qe_dns_lookup *lookup)
{
	if (lookup->n > 0 || !lookup->leads_on || ++lookup->aliases > ALIASES_MAX)
		return QE_DNS_DONE;
	lookup->name = lookup->next;
	begin(lookup);
	return QE_DNS_ASK;
}

static void take(struct qe_dns_lookup *lookup, unsigned half, struct qe_bytes message)
{
	struct qe_dns_question question = question_of(lookup, half);
	struct qe_addr addrs[QE_DNS_LOOKUP_ADDRS_MAX];
	struct qe_dns_name last;
	size_t n = qe_dns_answer_addrs(addrs, QE_DNS_LOOKUP_ADDRS_MAX, message, &question, &last);

	add_addrs(lookup, addrs, n);
	lookup->halves[half].done = true;
	if (n == 0 && !qe_dns_name_equal(&last, &lookup->name)) {
		lookup->next = last;
		lookup->leads_on = true;
	}
}

enum qe_dns_progress qe_dns_lookup_answer(struct qe_dns_lookup *lookup, struct qe_bytes message)
{
	for (unsigned i = 0; i < 2; i++) {
		struct qe_dns_question question = question_of(lookup, i);
		struct qe_dns_answer answer;

		if (lookup->halves[i].done || qe_dns_answer_parse(&answer, message, &question,
						      lookup->halves[i].id) != QE_OK)
			continue;
		if (answer.rcode != QE_DNS_NOERROR && answer.rcode != QE_DNS_NXDOMAIN)
			return qe_dns_lookup_failed(lookup);
		lookup->no_such_name = answer.rcode == QE_DNS_NXDOMAIN;
		take(lookup, i, message);
		break;
	}
	return lookup->halves[0].done && lookup->halves[1].done ? conclude(lookup) : QE_DNS_WAIT;
}

/* With the addresses of one family there is something to begin with. */
enum qe_dns_progress qe_dns_lookup_failed(struct qe_dns_lookup *lookup)
{
	if (lookup->n > 0 || ++lookup->tries >= ROUNDS * lookup->n_servers)
		return QE_DNS_DONE;
	begin(lookup);
	return QE_DNS_ASK;
}
