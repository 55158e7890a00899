"""Launches counted in the text of a compiled program that is written here by hand."""

import pytest

from benchmarks.launches import Loop, count

PROGRAM = """HloModule jit_f, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %a = f32[8]{0} add(%p, %p)
}

%body.1 (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%state), index=1
  %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  %z = (f32[8]{0}, s8[64]{0}) custom-call(%y), custom_call_target="__cublas$gemm"
  %c = f32[8]{0} copy(%y)
  ROOT %t = (s32[], f32[8]{0}) tuple(%x, %c)
}

%condition.1 (state: (s32[], f32[8])) -> pred[] {
  ROOT %p = pred[] compare(%state, %state), direction=LT
}

%outer (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %w = (s32[], f32[8]{0}) while(%state), condition=%c.1, body=%body.1, backend_config={"known_trip_count":{"n":"5"}}, \
metadata={op_name="jit(f)/inner"}
  ROOT %f = (s32[], f32[8]{0}) fusion(%w), kind=kLoop, calls=%fused
}

%left (p: f32[8]) -> f32[8] {
  ROOT %n = f32[8]{0} negate(%p)
}

%right (p: f32[8]) -> f32[8] {
  %c = f32[8]{0} copy(%p)
  ROOT %n = f32[8]{0} negate(%c)
}

ENTRY %main.9 (a: f32[8]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  %s = f32[8]{0:T(8)} copy-start(%a)
  %l = (s32[], f32[8]{0}) while(%s), condition=%condition.1, body=%outer, backend_config={"known_trip_count":{"n":"3"}}
  %u = (s32[], f32[8]{0}) while(%l), condition=%condition.1, body=%body.1
  %b = f32[8]{0} conditional(%u, %a, %a), branch_computations={%left, %right}
  ROOT %r = f32[8]{0} bitcast(%b)
}
"""


def test_turns_multiply_and_loops_of_unknown_length_count_once():
    found = count(PROGRAM)
    inner, outer, unknown = Loop(1, 5, 3, "jit(f)/inner"), Loop(0, 3, 5 * 3 + 1, ""), Loop(0, None, 3, "")
    assert found.loops == (outer, inner, unknown)
    assert found.launches == 1 + 3 * 16 + 3 + (1 + 1 + 2)  # copy-start, the loops, the conditional and its branches
    assert found.unknown == 1


@pytest.mark.parametrize(
    "text", ["", "HloModule jit_f\n\nENTRY %main (a: f32[]) -> f32[] {\n  ROOT %a = f32[] parameter(0)\n}\n"]
)
def test_a_program_that_does_nothing_launches_nothing(text):
    assert count(text).launches == 0
