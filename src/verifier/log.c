/* SPDX-License-Identifier: MIT */
/*
 * The text that a loader shows its user, in the kernel's words. Level 1 keeps the path that failed,
 * so text is cut back when a path ends well; level 2 keeps all paths; level 4 only the last line.
 * Running out of memory loses text, never the verdict; of a very long log only the end is kept.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/disasm.h"
#include "verifier/env.h"

#define LOG_PATHS 3u /* levels that show instructions */
#define LOG_COLUMN 38u
#define LOG_MAX (32u << 20)

static bool log_room(struct verifier_log *log, size_t n)
{
	size_t cap = log->cap ? log->cap : 4096;
	char *buf;

	if (log->len + n < log->cap)
		return true;
	if (log->len + n >= LOG_MAX) {
		size_t drop = log->len / 2;

		memmove(log->buf, log->buf + drop, log->len - drop + 1);
		log->len -= drop;
		return log->len + n < log->cap;
	}
	while (cap <= log->len + n)
		cap *= 2;
	buf = realloc(log->buf, cap);
	if (!buf)
		return false;
	log->buf = buf;
	log->cap = cap;
	return true;
}

static void log_text(struct verifier_log *log, const char *text, size_t n)
{
	if (!log_room(log, n + 1))
		return;
	memcpy(log->buf + log->len, text, n);
	log->len += n;
	log->buf[log->len] = 0;
}

__attribute__((format(printf, 2, 3))) static void log_fmt(struct venv *env, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		log_text(env->log, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void close_line(struct venv *env)
{
	if (env->line_open)
		log_text(env->log, "\n", 1);
	env->line_open = false;
}

void vlog(struct venv *env, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	if (!env->log->level)
		return;
	close_line(env);
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		log_text(env->log, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void vlog_tnum(struct tnum t, char buf[VTNUM_TEXT])
{
	if (tnum_is_const(t))
		snprintf(buf, VTNUM_TEXT, "%lld", (long long)t.value);
	else
		snprintf(buf, VTNUM_TEXT, "(0x%llx; 0x%llx)", (unsigned long long)t.value,
			 (unsigned long long)t.mask);
}

void vlog_bad_return(struct venv *env, const char *where, const struct range *v, u32 highest)
{
	if (range_is_unknown(v))
		vlog(env, "At %s the register R0 has unknown scalar value should have been in [0, %u]\n", where,
		     highest);
	else
		vlog(env, "At %s the register R0 has smin=%lld smax=%lld should have been in [0, %u]\n", where,
		     (long long)v->smin, (long long)v->smax, highest);
}

/* Small numbers in decimal, others in hexadecimal, as people read them. */
static void log_number(struct venv *env, s64 v, bool sign)
{
	if (sign ? v >= INT16_MIN && v <= INT16_MAX : (u64)v <= UINT16_MAX)
		log_fmt(env, "%lld", (long long)v);
	else
		log_fmt(env, "0x%llx", (unsigned long long)v);
}

struct bound {
	const char *name;
	s64 v;
	bool sign;
	bool told; /* or says nothing */
};

/* Bounds of one side (lower or upper) that are the same number are told together: smin=umin=8. */
static void log_bound(struct venv *env, struct bound *b, u32 i, u32 n, const char **sep)
{
	u32 k;

	log_fmt(env, "%s%s=", *sep, b[i].name);
	*sep = ",";
	for (k = i + 2; k < n; k += 2) {
		if (b[k].told || b[k].v != b[i].v || (b[k].sign && b[k].v < 0) != (b[i].sign && b[i].v < 0))
			continue;
		b[k].told = true;
		log_fmt(env, "%s=", b[k].name);
	}
	log_number(env, b[i].v, b[i].sign);
}

static void log_bounds(struct venv *env, const struct vreg *r, const char **sep)
{
	const struct range *v = &r->v;
	struct bound b[] = {
	    {"smin", v->smin, true, v->smin == INT64_MIN},
	    {"smax", v->smax, true, v->smax == INT64_MAX},
	    {"umin", (s64)v->umin, false, v->umin == 0},
	    {"umax", (s64)v->umax, false, v->umax == UINT64_MAX},
	    {"smin32", v->swmin, true, v->swmin == INT32_MIN},
	    {"smax32", v->swmax, true, v->swmax == INT32_MAX},
	    {"umin32", v->wmin, false, v->wmin == 0},
	    {"umax32", v->wmax, false, v->wmax == UINT32_MAX},
	};
	const u32 n = sizeof(b) / sizeof(b[0]);
	char bits[VTNUM_TEXT];
	u32 i;

	for (i = 0; i < n; i++)
		if (!b[i].told)
			log_bound(env, b, i, n, sep);
	if (v->t.mask != UINT64_MAX) {
		vlog_tnum(v->t, bits);
		log_fmt(env, "%svar_off=%s", *sep, bits);
		*sep = ",";
	}
}

static void log_reg(struct venv *env, const struct vreg *r)
{
	const char *sep = "";

	if (vreg_is_const(r)) {
		log_number(env, (s64)r->v.t.value, true);
		return;
	}
	log_fmt(env, "%s", vreg_type_name(r));
	if (r->type == VREG_STACK && range_is_const(&r->v)) {
		if (env->cur.nframes > 1 && r->frame + 1 != (int)env->cur.nframes)
			log_fmt(env, "[%u]", r->frame);
		log_fmt(env, "%lld", (long long)vreg_fixed_off(r));
		return;
	}
	log_fmt(env, "(");
	if (r->id) {
		log_fmt(env, "id=%u", r->id);
		sep = ",";
	}
	if (r->ref) {
		log_fmt(env, "%sref_obj_id=%u", sep, r->ref);
		sep = ",";
	}
	if (r->type == VREG_MAP || r->type == VREG_VALUE) {
		const struct verifier_map *m = &env->prog->maps[r->map];

		log_fmt(env, "%smap=%u,ks=%u,vs=%u", sep, r->map, m->key_size, m->value_size);
		sep = ",";
	}
	if (r->type == VREG_RECORD || r->type == VREG_MEM) {
		log_fmt(env, "%ssz=%u", sep, r->size);
		sep = ",";
	}
	if (vreg_is_pointer(r) && r->off) {
		log_fmt(env, "%soff=%d", sep, r->off);
		sep = ",";
	}
	if (vpacket_is(r)) {
		log_fmt(env, "%sr=%u", sep, r->size);
		sep = ",";
	}
	if (vreg_is_pointer(r) && range_is_const(&r->v)) {
		if (r->v.t.value)
			log_fmt(env, "%simm=%llx", sep, (unsigned long long)r->v.t.value);
	} else {
		log_bounds(env, r, &sep);
	}
	log_fmt(env, ")");
}

static void log_slot(struct venv *env, u32 i, const struct vslot *s)
{
	char text[9] = {0};
	u32 b;

	if (s->spill.type != VREG_NONE && s->spill_size == 8) {
		log_fmt(env, " fp-%u=", (i + 1) * 8);
		log_reg(env, &s->spill);
		return;
	}
	if (!s->init_mask)
		return;
	for (b = 0; b < 8; b++)
		text[7 - b] = s->zero_mask >> b & 1 ? '0' : s->init_mask >> b & 1 ? 'm' : '?';
	log_fmt(env, " fp-%u=%s", (i + 1) * 8, text);
}

static void log_state_text(struct venv *env, const struct vstate *st)
{
	const struct vframe *f = st->frame[st->nframes - 1];
	const char *sep = "";
	u32 i;

	if (st->nframes > 1)
		log_fmt(env, "frame%u: ", st->nframes - 1);
	for (i = 0; i < 11; i++) {
		if (f->r[i].type == VREG_NONE)
			continue;
		log_fmt(env, "%sR%u=", sep, i);
		log_reg(env, &f->r[i]);
		sep = " ";
	}
	for (i = 0; i < f->nslots; i++)
		log_slot(env, i, &f->slot[i]);
	for (i = 0; i < st->nrefs; i++)
		log_fmt(env, "%s%u", i ? "," : " refs=", st->ref[i].id);
}

void vlog_state(struct venv *env, const struct vstate *st)
{
	if (!(env->log->level & LOG_PATHS))
		return;
	close_line(env);
	if (st->prev_pc != st->pc)
		log_fmt(env, "\nfrom %u to %u: ", st->prev_pc, st->pc);
	else
		log_fmt(env, "%u: ", st->pc);
	log_state_text(env, st);
	log_fmt(env, "\n");
}

void vlog_insn(struct venv *env, u32 i)
{
	char text[EBPF_DISASM_MAX];

	if (!(env->log->level & LOG_PATHS))
		return;
	close_line(env);
	ebpf_disasm(&env->insns[i], text, sizeof(text));
	log_fmt(env, "%u: %s", i, text);
	env->line_open = true;
}

/* What an instruction did stands in a column of its own. */
static void log_pad(struct venv *env)
{
	const struct verifier_log *log = env->log;
	size_t at = log->len;

	while (at && log->buf[at - 1] != '\n')
		at--;
	at = log->len - at;
	log_fmt(env, "%*s", at < LOG_COLUMN ? (int)(LOG_COLUMN - at) : 1, "");
}

void vlog_insn_done(struct venv *env, const struct bpf_insn *in)
{
	const struct vframe *f = vstate_top(&env->cur);
	bool leaves = ebpf_insn_is_jump_class(in) && !ebpf_insn_is_cond(in);
	/* a comparison tells of what it has looked at, a copy of both sides */
	u16 defs = vlive_defs(in) | (leaves ? 0 : vlive_uses(in));
	const char *sep = "; ";
	u32 i;

	if (!(env->log->level & LOG_PATHS))
		return;
	for (i = 0; i < 11; i++) {
		if (!(defs >> i & 1) || f->r[i].type == VREG_NONE)
			continue;
		if (*sep == ';')
			log_pad(env);
		log_fmt(env, "%sR%u=", sep, i);
		log_reg(env, &f->r[i]);
		sep = " ";
	}
	close_line(env);
}

void vlog_cut(struct venv *env, size_t len)
{
	if (env->log->level & 2 || !env->log->buf || env->log->len <= len)
		return;
	env->log->len = len;
	env->log->buf[len] = 0;
	env->line_open = false;
}

void vlog_stats(struct venv *env)
{
	u32 i;

	if (!env->log->level)
		return;
	close_line(env);
	if (env->log->level & 4) {
		log_fmt(env, "stack depth ");
		for (i = 0; i < env->nfuncs; i++)
			log_fmt(env, "%s%u", i ? "+" : "", env->func[i].depth);
		log_fmt(env, "\n");
	}
	log_fmt(env,
		"processed %u insns (limit %u) max_states_per_insn %u total_states %u peak_states "
		"%u mark_read %u\n",
		env->insn_count, EBPF_MAX_INSNS, env->max_states_per_insn, env->total_states,
		env->peak_states, 0u);
}
