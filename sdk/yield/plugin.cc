/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin of GCC that makes a module's code look, now and then, whether its host wants it to stop.
 *
 * At the head of each loop, and at the entry of each function that calls others, it inserts
 *
 *	if (td__yield_wanted)
 *		td__yield();
 *
 * with the call out of the way of the straight path. Every cycle in the flow of control passes such a place: in a
 * function a cycle has an edge that goes back (found by a search in depth, so loops made of gotos count, with
 * any number of entries), and between functions it has one that calls. yield.c has the variable and the function.
 *
 * The test comes after all optimization of loops, so that these are as fast as without it, and only those
 * that are left have one. It is a volatile load: nobody may move it out of the loop. The call is written as
 * assembly, because td__yield() keeps all registers: the code around it loses none to it.
 *
 * A small loop that counts is made twice: one goes on without a test where the count, known before it begins, is low; so the
 * tight loops that a test would cost most have none where they are short, and one where they are not.
 *
 * Code that is compiled with the plugin has the macro TD__YIELDS, by which a module's file says that it yields.
 */
#include "gcc-plugin.h"
#include "plugin-version.h"
#include "diagnostic-core.h"
#include "tree.h"
#include "basic-block.h"
#include "gimple.h"
#include "gimple-iterator.h"
#include "ssa.h"
#include "stringpool.h"
#include "tree-pass.h"
#include "context.h"
#include "cfganal.h"
#include "cfghooks.h"
#include "cfgloop.h"
#include "cfgloopmanip.h"
#include "fold-const.h"
#include "tree-cfg.h"
#include "tree-ssa-loop-manip.h"
#include "tree-ssa-loop.h"
#include "tree-ssa-loop-niter.h"
#include "tree-scalar-evolution.h"
#include "tree-chrec.h"
#include "gimplify.h"
#include "gimplify-me.h"
#include "tree-into-ssa.h"
#include "dominance.h"
#include "c-family/c-pragma.h"
#include "cpplib.h"

int plugin_is_GPL_compatible; /* what GCC asks for by this name; the plugin is under a licence that is */

static tree flag; /* td__yield_wanted */

/* Hidden: so it is read where it lies, and not by an address that is loaded first. */
static tree declare_flag(void)
{
	tree type = build_qualified_type(unsigned_type_node, TYPE_QUAL_VOLATILE);
	tree t = build_decl(BUILTINS_LOCATION, VAR_DECL, get_identifier("td__yield_wanted"), type);

	TREE_STATIC(t) = 0;
	DECL_EXTERNAL(t) = 1;
	TREE_PUBLIC(t) = 1;
	TREE_USED(t) = 1;
	TREE_THIS_VOLATILE(t) = 1;
	TREE_SIDE_EFFECTS(t) = 1;
	DECL_ARTIFICIAL(t) = 1;
	DECL_VISIBILITY(t) = VISIBILITY_HIDDEN;
	DECL_VISIBILITY_SPECIFIED(t) = 1;
	return t;
}

/* The line that a fault at this place is to show: what the block does, or for an empty loop, where it goes round. */
static location_t place_of(basic_block bb)
{
	edge_iterator i;
	edge e;

	for (gimple_stmt_iterator at = gsi_start_nondebug_bb(bb); !gsi_end_p(at); gsi_next_nondebug(&at))
		if (gimple_has_location(gsi_stmt(at)))
			return gimple_location(gsi_stmt(at));
	FOR_EACH_EDGE(e, i, bb->succs)
		if (LOCATION_LOCUS(e->goto_locus) > BUILTINS_LOCATION)
			return e->goto_locus;
	FOR_EACH_EDGE(e, i, bb->preds)
		if (LOCATION_LOCUS(e->goto_locus) > BUILTINS_LOCATION)
			return e->goto_locus;
	return DECL_SOURCE_LOCATION(cfun->decl);
}

/* The block of the call. The stack below its pointer may be in use: the psABI lets a leaf function keep 128 bytes there. */
static basic_block make_call(basic_block after, location_t where)
{
	basic_block bb = create_empty_bb(after);
	vec<tree, va_gc> *clobbers = NULL;
	gimple_stmt_iterator at = gsi_start_bb(bb);
	gasm *call;

	vec_safe_push(clobbers, build_tree_list(NULL_TREE, build_string(7, "memory")));
	call = gimple_build_asm_vec("lea -128(%%rsp), %%rsp\n\tcall td__yield\n\tlea 128(%%rsp), %%rsp",
				    NULL, NULL, clobbers, NULL);
	gimple_asm_set_volatile(call, true);
	gimple_set_location(call, where);
	gsi_insert_after(&at, call, GSI_NEW_STMT);
	return bb;
}

/* Behind the labels of the block: look, and call if wanted. */
static void insert(basic_block bb)
{
	location_t where = place_of(bb);
	edge on = split_block_after_labels(bb);
	gimple_stmt_iterator at = gsi_last_bb(bb);
	tree value = make_ssa_name(unsigned_type_node);
	gassign *load = gimple_build_assign(value, flag);
	gcond *test = gimple_build_cond(NE_EXPR, value, build_zero_cst(unsigned_type_node), NULL_TREE, NULL_TREE);
	basic_block call = make_call(bb, where);
	edge off;

	gimple_set_location(load, where);
	gimple_set_location(test, where);
	gsi_insert_after(&at, load, GSI_NEW_STMT);
	gsi_insert_after(&at, test, GSI_NEW_STMT);
	off = make_edge(bb, call, EDGE_TRUE_VALUE);
	off->probability = profile_probability::very_unlikely();
	on->flags = (on->flags & ~EDGE_FALLTHRU) | EDGE_FALSE_VALUE;
	on->probability = off->probability.invert();
	call->count = off->count();
	make_single_succ_edge(call, on->dest, EDGE_FALLTHRU);
	if (current_loops)
		add_bb_to_loop(call, bb->loop_father);
}

/* What the compiler knows by name is done in place, or by functions that call nothing of the module's. */
static bool is_call(gimple *stmt)
{
	return is_gimple_call(stmt) && !gimple_call_internal_p(stmt) && !gimple_call_builtin_p(stmt, BUILT_IN_NORMAL);
}

static bool calls_others(function *fn)
{
	basic_block bb;

	FOR_EACH_BB_FN(bb, fn)
		for (gimple_stmt_iterator at = gsi_start_bb(bb); !gsi_end_p(at); gsi_next(&at))
			if (is_call(gsi_stmt(at)))
				return true;
	return false;
}

/* ---- Loops that count */

enum { FEW = 4096, SMALL = 40 /* statements */ };

/* May it take longer than any statement? What stands behind each load in C made from wasm is assembly that is empty. */
static bool is_long(gimple *stmt)
{
	gasm *text = dyn_cast<gasm *>(stmt);

	return is_call(stmt) || (text && *gimple_asm_string(text));
}

static bool is_small(class loop *loop)
{
	basic_block *body = get_loop_body(loop);
	unsigned int n = 0;

	for (unsigned int i = 0; i < loop->num_nodes; i++)
		for (gimple_stmt_iterator at = gsi_start_nondebug_bb(body[i]); !gsi_end_p(at); gsi_next_nondebug(&at))
			n += is_long(gsi_stmt(at)) ? SMALL : 1;
	free(body);
	return n < SMALL;
}

/* "It goes round a few times", as an expression before the loop; 0: it cannot be told. */
static tree goes_few_times(class loop *loop)
{
	class tree_niter_desc count;
	edge exit = single_exit(loop);
	gcond *test = NULL;
	tree few;

	if (!exit || !is_small(loop) || !number_of_iterations_exit_assumptions(loop, exit, &count, &test))
		return NULL_TREE;
	if (!count.niter || chrec_contains_undetermined(count.niter) || integer_zerop(count.assumptions))
		return NULL_TREE;
	few = fold_build2(LE_EXPR, boolean_type_node, unshare_expr(count.niter), build_int_cst(TREE_TYPE(count.niter), FEW));
	if (!integer_onep(count.assumptions))
		few = fold_build2(TRUTH_AND_EXPR, boolean_type_node, unshare_expr(count.assumptions), few);
	return few;
}

/* The copy is the one that is tested. */
static void split_loop(class loop *loop, tree few)
{
	basic_block condition;
	gimple_seq before = NULL;
	tree value = force_gimple_operand(few, &before, true, NULL_TREE);

	if (before)
		gsi_insert_seq_on_edge_immediate(loop_preheader_edge(loop), before);
	initialize_original_copy_tables();
	loop_version(loop, build2(NE_EXPR, boolean_type_node, value, boolean_false_node), &condition, profile_probability::very_likely(), profile_probability::very_unlikely(),
		     profile_probability::very_likely(), profile_probability::very_unlikely(), true);
	free_original_copy_tables();
}

static void excuse_short_loops(function *fn, auto_vec<basic_block> *excused)
{
	auto_vec<class loop *> all;

	loop_optimizer_init(LOOPS_NORMAL | LOOPS_HAVE_RECORDED_EXITS);
	if (number_of_loops(fn) > 1) {
		rewrite_into_loop_closed_ssa(NULL, TODO_update_ssa);
		scev_initialize();
		for (auto loop : loops_list(fn, LI_ONLY_INNERMOST))
			all.safe_push(loop);
		for (unsigned int i = 0; i < all.length(); i++) {
			tree few = can_duplicate_loop_p(all[i]) ? goes_few_times(all[i]) : NULL_TREE;

			if (!few || integer_zerop(few))
				continue;
			if (!integer_onep(few))
				split_loop(all[i], few);
			excused->safe_push(all[i]->header);
		}
		scev_finalize();
		update_ssa(TODO_update_ssa);
	}
	loop_optimizer_finalize();
}

static void find_heads(function *fn, const auto_vec<basic_block> *excused, auto_vec<basic_block> *heads)
{
	basic_block bb;
	edge_iterator i;
	edge e;

	mark_dfs_back_edges(fn);
	FOR_EACH_BB_FN(bb, fn)
		FOR_EACH_EDGE(e, i, bb->preds)
			if (e->flags & EDGE_DFS_BACK && !excused->contains(bb)) {
				heads->safe_push(bb);
				break;
			}
}

/* Who passes such a head passes the next one at once: both need no test. It would stand between the arms of an if, too. */
static void drop_followed(auto_vec<basic_block> *heads)
{
	for (unsigned int i = 0; i < heads->length();) {
		basic_block bb = (*heads)[i];

		if (single_succ_p(bb) && single_succ(bb) != bb && heads->contains(single_succ(bb)))
			heads->ordered_remove(i);
		else
			i++;
	}
}

static const pass_data data = { GIMPLE_PASS, "yields", OPTGROUP_NONE, TV_NONE, PROP_cfg | PROP_ssa, 0, 0, 0,
				TODO_update_ssa | TODO_cleanup_cfg };

namespace {
struct yields : gimple_opt_pass {
	yields() : gimple_opt_pass(data, g)
	{
	}

	unsigned int execute(function *fn) final override
	{
		auto_vec<basic_block> heads, excused;

		if (!flag)
			flag = declare_flag();
		if (optimize > 1)
			excuse_short_loops(fn, &excused);
		find_heads(fn, &excused, &heads);
		drop_followed(&heads);
		if (calls_others(fn))
			heads.safe_push(split_edge(single_succ_edge(ENTRY_BLOCK_PTR_FOR_FN(fn))));
		for (unsigned int i = 0; i < heads.length(); i++)
			insert(heads[i]);
		free_dominance_info(CDI_DOMINATORS);
		free_dominance_info(CDI_POST_DOMINATORS);
		return 0;
	}
};
} // namespace

static void define_macro(void *, void *)
{
	cpp_define(parse_in, "TD__YIELDS");
}

int plugin_init(plugin_name_args *args, plugin_gcc_version *version)
{
	static const ggc_root_tab roots[] = {
		{ &flag, 1, sizeof(flag), &gt_ggc_mx_tree_node, &gt_pch_nx_tree_node },
		LAST_GGC_ROOT_TAB,
	};
	register_pass_info pass;

	if (!plugin_default_version_check(version, &gcc_version)) {
		error("%s was built for another version of GCC: build Tadan again", args->full_name);
		return 1;
	}
	pass.pass = new yields();
	pass.reference_pass_name = "optimized"; /* the last one before instructions are made */
	pass.ref_pass_instance_number = 1;
	pass.pos_op = PASS_POS_INSERT_AFTER;
	register_callback(args->base_name, PLUGIN_PASS_MANAGER_SETUP, NULL, &pass);
	register_callback(args->base_name, PLUGIN_REGISTER_GGC_ROOTS, NULL, (void *)roots);
	register_callback(args->base_name, PLUGIN_START_UNIT, define_macro, NULL);
	return 0;
}
