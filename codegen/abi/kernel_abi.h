/* What generated code, the JIT and the runtime agree on.  Plain C; a generated file contains a copy of this struct. */
#ifndef CPUFLOW_KERNEL_ABI_H
#define CPUFLOW_KERNEL_ABI_H
#include <stdint.h>

/* Arguments of every kernel.  Counts are in the manifest; pointers are aligned to 64 bytes. */
typedef struct cpuflow_call {
  const float *params;    /* every parameter, at its manifest offset                                        [param_floats] */
  float *shared;          /* values that depend on parameters only; written by `prepare`                    [shared_floats] */
  float *lane;            /* scratch of one lane; `rows` keeps its carried state here between calls         [lane_floats] */
  float *grads;           /* gradient accumulators of one lane; the first param_floats are the parameters'  [grad_floats] */
  float *losses;          /* loss accumulators of one lane and micro-batch                                  [loss_floats] */
  const float *sums;      /* losses summed over the lanes, complete up to what the sequences read of each other [loss_floats] */
  const int32_t *tokens;  /* the sequence's ids                                                             [T] */
  const int32_t *targets; /* the ids that follow them                                                       [T] */
  float *out;             /* rows: logits [last - first][V], V + 1 with a head; loss_terms, eval_terms: one float a number */
  int32_t sequence;       /* which sequence of the micro-batch, 0 .. B-1 */
  int32_t first, last;    /* rows: positions first .. last-1 */
  int32_t streams;        /* rows: sequences that are continued together, at least one; several take one position a call.
                             train_sequence, eval_sequence, batch_sums_<i>, eval_sums_<i>: so many calls follow each other in memory, this one first, of sequences that
                             go through recurrences together, each with what is its own but for `grads`; as many as the manifest says, 0 is 1 */
  void (*fork)(void *team, void (*body)(void *context, int part, int parts), void *context);
                          /* prepare, finish: runs body for every part at once and waits for all, so that several threads pack the weights; null: there is one */
  void *team;
  int32_t part, parts;    /* rows: which of the threads that continue one text together, each of which calls it with a lane and an `out` of its own; parts <= 1: there is one */
  void (*pass_on)(void *partner, float *row, int first, int last, int columns);
                          /* rows: a thread that has computed the columns first .. last - 1 of a row gives them to the others, and gets theirs; all take part in the same order */
  void *partner;
  int64_t lane_step;      /* streams: floats from the lane of one to that of the next; in `rows` their tokens [T] and rows of `out` follow each other */
  uint64_t seed;          /* random draws: seed of the run */
  uint64_t counter;       /* random draws: number of the micro-batch since the beginning of the run */
  uint64_t *profile;      /* kernels compiled with profiling: time stamp counts of each region are added here, unless null */
} cpuflow_call;

/* Entry points of a compiled model, extern "C":
 *   prepare         once a step, before the sequences: params -> shared
 *   batch_sums_<i>  i = 0, 1, ..: what the sequences of a micro-batch read of each other is added to `losses`; between two of them, and before
 *                   train_sequence and eval_sequence, the lanes' losses are summed into `sums`
 *   train_sequence  losses and gradients of one sequence are added to `losses` and `grads`
 *   finish          once a step, after the lanes' grads were summed: completes grads[0 .. param_floats) by the chain rule
 *   eval_sequence   losses of one sequence are added to `losses`
 *   loss_terms      losses (summed over lanes) of one micro-batch -> out, one float a loss term, in manifest order
 *   eval_sums_<i>, eval_terms   the same for an evaluation, where it computes other numbers than a training step: watched ones, losses without dropout
 *   rows            logits of positions first .. last-1 of one sequence; earlier positions were computed by earlier calls
 *                   with the same `lane`; tokens[0 .. last) are read; what a lane holds is forgotten where first is 0; of several streams, each has these for itself */
typedef void cpuflow_kernel(const cpuflow_call *call);

#endif
