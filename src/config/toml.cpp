/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The only C++ of the project: toml++ turned into the plain tree of toml.h. The tree points into
 * the toml::table for its texts, so the two live and die together. No exceptions: toml++ returns
 * its errors, and without memory the process ends.
 */
/* One of toml++'s asserts (3.4, parse_key) is wrong: a line that is only "[" fails it, and the code
 * behind it reports that very mistake well. A wrong file must not end the process. */
#define TOML_ASSERT(expression) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.hpp>

#include "config/toml.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

struct qe_toml {
	toml::table table;
	std::deque<std::vector<qe_toml_value>> children;
	qe_toml_value root;
	bool has_zero_byte = false;
	qe_toml_place zero_byte;
};

static constexpr size_t key_parts_max = 16;

static qe_toml_place place_of(const toml::source_region &region)
{
	return {region.begin.line, region.begin.column};
}

/*
 * Two things that toml++ 3.4 cannot bear. It bounds how deep values nest, but not how many parts a
 * dotted key has, and walks what comes of it by recursion: a key of 100,000 parts would end the
 * process. And its question whether a character is a blank is undefined for many that are not
 * ASCII; it asks it everywhere but in comments and in strings of one line.
 *
 * So look for these first. Up to its first mistake a text is read here just as toml++ reads it, and
 * what comes after that toml++ never sees.
 */
struct trouble {
	const char *at; /* nullptr if there is none */
	const char *text;
};

static bool is_triple(const char *at, const char *end)
{
	return end - at >= 3 && at[0] == at[1] && at[0] == at[2];
}

/* The end of the string that begins at at, or of the text if the string has none. */
static const char *skip_string(const char *at, const char *end)
{
	const char quote = *at;
	const bool multi_line = is_triple(at, end);

	for (at += multi_line ? 3 : 1; at < end; at++) {
		if (quote == '"' && *at == '\\') {
			if (++at == end)
				return end;
		} else if (!multi_line && (*at == quote || *at == '\n')) {
			return at + 1;
		} else if (multi_line && *at == quote && is_triple(at, end)) {
			/* Up to two quotes before the closing three belong to the string. */
			for (at += 3; at < end && *at == quote; at++)
				;
			return at;
		}
	}
	return end;
}

static const char *skip_comment(const char *at, const char *end)
{
	const void *newline = std::memchr(at, '\n', static_cast<size_t>(end - at));

	return newline ? static_cast<const char *>(newline) : end;
}

static const char *find_non_ascii(const char *at, const char *end)
{
	for (; at < end; at++)
		if (static_cast<unsigned char>(*at) >= 0x80)
			return at;
	return nullptr;
}

/* Within a word toml++ takes a quote for a part of it, and finds fault only at the word's end.
 * After a dot it depends: a."b" is a key, 1."b" is such a word. No key of ours needs that. */
static bool may_begin_string(char before)
{
	return before != '\0' && std::strchr(" \t\r\n=,[{", before);
}

static trouble find_trouble(const char *at, const char *end)
{
	size_t dots = 0;
	char before = '\n';

	if (end - at >= 3 && std::memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3; /* the byte order mark of some editors */
	while (at < end) {
		const char *next = at + 1, *plain_end = next;
		if ((*at == '"' || *at == '\'') && !may_begin_string(before)) {
			return {at, "a quote within a word"};
		} else if (*at == '"' || *at == '\'') {
			next = skip_string(at, end);
			plain_end = is_triple(at, end) ? next : at;
		} else if (*at == '#') {
			next = skip_comment(at, end);
			plain_end = at;
		} else if (*at == '.' && ++dots >= key_parts_max) {
			return {at, "a key of more than 16 parts"};
		} else if (std::strchr("\n=,[]{}", *at)) {
			dots = 0;
		}
		if (const char *bad = find_non_ascii(at, plain_end))
			return {bad, "a character that is not ASCII, outside of comments and of "
				     "strings of one line"};
		at = next;
		before = at[-1];
	}
	return {};
}

static qe_toml_place place_in(const char *text, const char *at)
{
	qe_toml_place place = {1, 1};

	for (; text < at; text++) {
		place.column++;
		if (*text == '\n')
			place = {place.line + 1, 1};
	}
	return place;
}

static qe_toml_type type_of(const toml::node &node)
{
	switch (node.type()) {
	case toml::node_type::string:
		return QE_TOML_STRING;
	case toml::node_type::integer:
		return QE_TOML_INTEGER;
	case toml::node_type::floating_point:
		return QE_TOML_FLOAT;
	case toml::node_type::boolean:
		return QE_TOML_BOOLEAN;
	case toml::node_type::date:
	case toml::node_type::time:
	case toml::node_type::date_time:
		return QE_TOML_DATE;
	case toml::node_type::array:
		return QE_TOML_ARRAY;
	case toml::node_type::table:
	case toml::node_type::none:
		break;
	}
	return QE_TOML_TABLE;
}

static const char *c_string(qe_toml &to, std::string_view text, qe_toml_place place)
{
	if (text.find('\0') != text.npos && !to.has_zero_byte) {
		to.has_zero_byte = true;
		to.zero_byte = place;
	}
	return text.data(); /* of a std::string that toml++ holds, so a zero follows */
}

static qe_toml_value convert(qe_toml &to, const toml::node &node)
{
	qe_toml_value value = {};

	value.type = type_of(node);
	value.place = place_of(node.source());
	if (auto string = node.as_string())
		value.string = c_string(to, string->get(), value.place);
	else if (auto integer = node.as_integer())
		value.integer = integer->get();

	std::vector<qe_toml_value> children;
	if (auto array = node.as_array())
		for (const auto &item : *array)
			children.push_back(convert(to, item));
	if (auto table = node.as_table())
		for (const auto &[key, item] : *table) {
			children.push_back(convert(to, item));
			auto &child = children.back();
			child.key_place = place_of(key.source());
			child.key = c_string(to, key.str(), child.key_place);
		}
	value.n = children.size();
	value.children = to.children.emplace_back(std::move(children)).data();
	return value;
}

[[gnu::format(printf, 3, 4)]] static qe_error fail(
	qe_toml_error *ret_error, qe_toml_place place, const char *format, ...)
{
	va_list args;

	ret_error->place = place;
	va_start(args, format);
	std::vsnprintf(ret_error->text, sizeof ret_error->text, format, args);
	va_end(args);
	return QE_ERR_SYNTAX;
}

qe_error qe_toml_parse(qe_toml **ret_toml, qe_bytes text, qe_toml_error *ret_error)
{
	const auto begin = reinterpret_cast<const char *>(text.data);

	if (const trouble trouble = find_trouble(begin, begin + text.len); trouble.at)
		return fail(ret_error, place_in(begin, trouble.at), "%s", trouble.text);
	auto result = toml::parse(std::string_view(begin, text.len));
	if (!result) {
		const auto description = result.error().description();
		return fail(ret_error, place_of(result.error().source()), "%.*s",
			static_cast<int>(description.size()), description.data());
	}
	auto toml = std::make_unique<qe_toml>();
	toml->table = std::move(result).table();
	toml->root = convert(*toml, toml->table);
	if (toml->has_zero_byte)
		return fail(ret_error, toml->zero_byte, "a text with a zero byte in it");
	*ret_toml = toml.release();
	return QE_OK;
}

qe_toml *qe_toml_free(qe_toml *toml)
{
	delete toml;
	return nullptr;
}

const qe_toml_value *qe_toml_root(const qe_toml *toml)
{
	return &toml->root;
}
