//! An assembler for seccomp's classic BPF, just large enough for filters that read like nested `if`s.
//!
//! It knows nothing of what a filter is for. A condition compares the accumulator, which [`Program::load`] fills from
//! the [`libc::seccomp_data`] of the call.

use std::mem::offset_of;

/// A program under construction. Execution that reaches its end is refused by the kernel: end with a return.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    instructions: Vec<libc::sock_filter>,
}

/// A part of what seccomp tells of a call, 32 bits wide.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// The number of the call.
    Number,
    /// The architecture, an `AUDIT_ARCH_*`, whose numbers these are.
    Arch,
    /// The lower half of an argument, counted from 0.
    Argument(usize),
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It goes ahead.
    Allow,
    /// It fails with this error number.
    Fail(i32),
    /// It waits until whoever holds the filter's listener has answered.
    Notify,
}

impl Program {
    /// Loads a field into the accumulator.
    pub(crate) fn load(&mut self, field: Field) {
        let offset = match field {
            Field::Number => offset_of!(libc::seccomp_data, nr),
            Field::Arch => offset_of!(libc::seccomp_data, arch),
            // All architectures with a filter of ours are little-endian: the lower half comes first.
            Field::Argument(index) => offset_of!(libc::seccomp_data, args) + index * size_of::<u64>(),
        };
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32);
    }

    /// Ends the program with an action.
    pub(crate) fn finish(&mut self, action: Action) {
        let value = match action {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Action::Fail(errno) => libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & libc::SECCOMP_RET_DATA),
        };
        self.push(libc::BPF_RET | libc::BPF_K, value);
    }

    /// Runs `body` if the accumulator equals `value`.
    pub(crate) fn when_equal(&mut self, value: u32, body: impl FnOnce(&mut Program)) {
        self.when(libc::BPF_JEQ, value, body);
    }

    /// Runs `body` if the accumulator has any of these bits.
    pub(crate) fn when_any_bit(&mut self, bits: u32, body: impl FnOnce(&mut Program)) {
        self.when(libc::BPF_JSET, bits, body);
    }

    /// The finished program.
    pub(crate) fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    fn when(&mut self, condition: u32, value: u32, body: impl FnOnce(&mut Program)) {
        let mut inner = Program::default();
        body(&mut inner);
        let length = inner.instructions.len();
        match u8::try_from(length) {
            Ok(past) => self.jump(condition, value, 0, past),
            Err(_) => {
                // Too far for a conditional jump's 8 bits: jump over an unconditional one, which has 32.
                self.jump(condition, value, 1, 0);
                self.push(libc::BPF_JMP | libc::BPF_JA, length as u32);
            }
        }
        self.instructions.append(&mut inner.instructions);
    }

    fn jump(&mut self, condition: u32, value: u32, jt: u8, jf: u8) {
        let code = (libc::BPF_JMP | condition | libc::BPF_K) as u16;
        self.instructions.push(libc::sock_filter { code, jt, jf, k: value });
    }

    fn push(&mut self, code: u32, k: u32) {
        self.instructions.push(libc::sock_filter { code: code as u16, jt: 0, jf: 0, k });
    }
}

/// An interpreter for these programs, so that tests can ask what a filter does without installing it.
#[cfg(test)]
pub(crate) fn interpret(program: &Program, arch: u32, number: u32, args: [u64; 6]) -> Action {
    let word = |offset: u32| match offset {
        0 => number,
        4 => arch,
        _ => {
            let (index, odd) = ((offset - 16) / 8, (offset - 16) % 8);
            (args[index as usize] >> (odd * 8)) as u32
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let libc::sock_filter { code, jt, jf, k } = program.instructions()[at];
        let code = u32::from(code);
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
        if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
            accumulator = word(k);
        } else if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K {
            branch(accumulator == k);
        } else if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K {
            branch(accumulator & k != 0);
        } else if code == libc::BPF_JMP | libc::BPF_JA {
            at += k as usize;
        } else if k == libc::SECCOMP_RET_ALLOW {
            return Action::Allow;
        } else if k == libc::SECCOMP_RET_USER_NOTIF {
            return Action::Notify;
        } else {
            return Action::Fail((k & libc::SECCOMP_RET_DATA) as i32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body_length: usize) {
        let mut program = Program::default();
        program.load(Field::Number);
        program.when_equal(7, |body| {
            (0..body_length).for_each(|_| body.load(Field::Number));
            body.finish(Action::Fail(1));
        });
        program.when_any_bit(0x10, |body| {
            body.load(Field::Argument(1));
            body.when_any_bit(0o6000, |body| body.finish(Action::Fail(2)));
        });
        program.finish(Action::Allow);
        let run = |number, second| interpret(&program, 0, number, [0, second, 0, 0, 0, 0]);
        assert_eq!(run(7, 0), Action::Fail(1), "{body_length}");
        assert_eq!(run(8, 0o6000), Action::Allow, "{body_length}");
        assert_eq!(run(0x10, 0o4755), Action::Fail(2), "{body_length}");
        assert_eq!(run(0x10, 0o755), Action::Allow, "{body_length}");
        assert_eq!(run(0x10, 0o4000 << 32), Action::Allow, "{body_length}");
    }

    #[test]
    fn jumps_over_bodies_of_any_length() {
        [0, 1, 253, 254, 255, 300].into_iter().for_each(check);
    }
}
