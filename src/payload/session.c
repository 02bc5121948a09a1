/* SPDX-License-Identifier: MIT */
/*
 * Calls with sessions. A session is one program that runs at entry and return of a function, with a
 * word of its own in between. The words of a call stand in its nt_ret_entry, three to an entry, and
 * in further entries chained behind it when there are more sessions on the function:
 *
 *     dispatcher: open an entry; run each program with the address of its cookie; a program that
 *                 returns 0 gets its key written; keep the entry if anybody wants the return
 *     exit:       for each session of the list *as it is now*: is its key in the call's entry?
 */
#include "base/atomic.h"
#include "payload/payload.h"
#include "payload/row.h"

static void give(struct nt_row *row, struct nt_ret_entry *e)
{
	e->next = at_load(&row->free);
	at_store(&row->free, (u64)e);
}

static struct nt_ret_entry *take(struct nt_row *row, u64 word_at)
{
	struct nt_ret_entry *e = (void *)at_load(&row->free);

	if (!e)
		e = ret_refill(word_at);
	if (!e)
		return NULL;
	at_store(&row->free, e->next);
	e->row = (u64)row;
	e->more = 0;
	for (u32 i = 0; i < NT_ENTRY_SESSIONS; i++)
		e->session[i] = (struct nt_session){0, 0};
	return e;
}

/* Entries on `more` are nobody's call: never in use, reached through their first one only. */
void session_give_more(struct nt_ret_entry *e, struct nt_row *row)
{
	struct nt_ret_entry *more = (void *)e->more;

	e->more = 0;
	while (more) {
		struct nt_ret_entry *next = (void *)more->more;

		more->more = 0;
		give(row, more);
		more = next;
	}
}

struct nt_ret_entry *session_open(u64 word_at, u64 n)
{
	struct nt_row *row = row_find_or_add();
	struct nt_ret_entry *first, *last;

	if (!row || !depth_allows(row, word_at))
		return NULL;
	first = last = take(row, word_at);
	for (u64 room = NT_ENTRY_SESSIONS; last && room < n; room += NT_ENTRY_SESSIONS) {
		struct nt_ret_entry *more = take(row, word_at);

		last->more = (u64)more;
		last = more;
	}
	if (last || !first)
		return first;
	session_give_more(first, row);
	give(row, first);
	return NULL;
}

struct nt_ret_entry *session_keep(struct nt_ret_entry *e)
{
	for (struct nt_ret_entry *at = e; at; at = (void *)at->more)
		for (u32 i = 0; i < NT_ENTRY_SESSIONS; i++)
			if (at->session[i].key)
				return e;
	session_give_more(e, (struct nt_row *)e->row);
	give((struct nt_row *)e->row, e);
	return NULL;
}

u64 *session_at(struct nt_ret_entry *e, u64 key)
{
	for (; e; e = (void *)e->more)
		for (u32 i = 0; i < NT_ENTRY_SESSIONS; i++)
			if (e->session[i].key == key)
				return &e->session[i].cookie;
	return NULL;
}
