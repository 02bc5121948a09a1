/* SPDX-License-Identifier: MIT */
/*
 * Every rule (case.h) in compiled code and in the interpreter, with the verifier's consent; and each of its instructions
 * as text and back, so that assembler and disassembler know the same instruction set. Arguments: the files.
 */
#include <errno.h>

#include "case.h"
#include "ebpf/disasm.h"
#include "harness.h"
#include "tap.h"
#include "verifier/verifier.h"

static struct jt t;

/* The disassembler's text makes the same instruction. */
static bool text_agrees(const struct bpf_insn *x)
{
	char text[EBPF_DISASM_MAX], line[EBPF_DISASM_MAX + 4];
	struct asm_program p = {0};
	bool wide = ebpf_insn_is_ld64(x);

	if (wide && x->src_reg) /* of a function: the log shows an address */
		return true;
	ebpf_disasm(x, text, sizeof(text));
	snprintf(line, sizeof(line), "%s%s", text + 5, wide ? " ll" : "");
	if (asm_line(&p, line) && !memcmp(p.insn, x, sizeof(*x) * (wide ? 2 : 1)))
		return true;
	printf("# %02x is shown as %s, which is something else\n", x->code, text);
	return false;
}

static bool texts_agree(const struct asm_program *p)
{
	bool ok = true;

	for (u32 i = 0; i < p->n; i += ebpf_insn_is_ld64(&p->insn[i]) ? 2 : 1)
		ok &= text_agrees(&p->insn[i]);
	return ok;
}

/* The verifier takes what the kernel takes. */
static bool verifier_agrees(const struct conf_case *c)
{
	struct verifier_prog prog = {.insns = c->prog.insn, .n = c->prog.n, .prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT};
	struct verifier_log log = {.level = 1};
	struct verifier_result facts = {0};
	int r = verifier_check(&prog, &log, &facts);
	bool ok = c->no_kernel || c->refused == (r == -EINVAL || r == -EACCES);

	if (!ok)
		printf("# the verifier says %d: %.300s\n", r, log.buf ? log.buf : "");
	verifier_result_deinit(&facts);
	free(log.buf);
	return ok;
}

static bool engines_agree(const struct conf_case *c)
{
	u64 r0 = 0;
	int r;

	jt_init(&t, c->prog.insn, c->prog.n);
	for (u32 i = 0; i < t.n; i++)
		t.fact[i].stack_depth = t.fact[0].stack_depth;
	memcpy(&t.ctx[JT_RUN], c->ctx, sizeof(c->ctx));
	r = jt_compile(&t);
	if (c->refused || r) {
		if (c->refused && r == -EINVAL)
			return true;
		printf("# compiling gives %d\n", r);
		jt_deinit(&t);
		return false;
	}
	r = jt_agree(&t, &r0);
	jt_deinit(&t);
	if (r && r0 == c->want)
		return true;
	printf("# got %#llx, want %#llx\n", (unsigned long long)r0, (unsigned long long)c->want);
	return false;
}

static void rule(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	u32 line = 0, n = 0, failed = 0;
	static struct conf_case c;
	FILE *f = fopen(path, "r");

	while (f && case_next(f, name, &line, &c)) {
		n++;
		if (!c.bad && texts_agree(&c.prog) && verifier_agrees(&c) && engines_agree(&c))
			continue;
		failed++;
		printf("# %s:%u: fails\n", name, c.line);
	}
	if (f)
		fclose(f);
	tap_ok(n && !failed, "%s: %u cases", name, n);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		rule(argv[i]);
	tap_ok(argc > 30, "there are rules: %d", argc - 1);
	return tap_done();
}
