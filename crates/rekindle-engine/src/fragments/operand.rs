//! Where in a program a compiler may have put a piece of a constant.
//!
//! What a piece is surrounded by may go on like the path by chance: an instruction `31 c0` behind an operand begins with
//! the character `1`. So the ends of a piece are not taken from the characters, but from the program: from the opcode
//! before an operand, or from the alignment of a pool of constants. An x86 processor has moves, comparisons and exclusive
//! ors with operands of eight and four bytes. Operands of two bytes and one are left aside: they come last in a copy, and
//! behind a hash part there are three bytes at least, `-`, a name, and the zero.

/// The file format around a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elf {
    /// Where the header is. What is aligned in memory is aligned from here.
    pub(super) header_at: u64,
    pub(super) machine: Machine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    I386,
    Other,
}

impl Elf {
    pub(super) const HEADER: usize = 20;

    /// Reads the beginning of an ELF header, which is at `header_at` of the file.
    pub(super) fn read(header: &[u8], header_at: u64) -> Option<Elf> {
        let header: &[u8; Elf::HEADER] = header.get(..Elf::HEADER)?.try_into().ok()?;
        let [0x7f, b'E', b'L', b'F', 1..=2, order @ 1..=2, 1, ..] = header else { return None };
        let machine = match (order, [header[18], header[19]]) {
            (1, [62, 0]) => Machine::X86_64,
            (1, [3, 0]) => Machine::I386,
            _ => Machine::Other,
        };
        Some(Elf { header_at, machine })
    }
}

/// Whether the eight bytes at `at` are the operand of an instruction: `movabs` to a register.
pub(super) fn is_eight(bytes: &[u8], at: usize, machine: Machine) -> bool {
    machine == Machine::X86_64
        && at >= 2
        && matches!(bytes[at - 2..at], [0x48 | 0x49, 0xb8..=0xbf])
        && at + 8 <= bytes.len()
}

/// Whether the four bytes at `at` are the operand of an instruction: a move to a register or to memory, or
/// arithmetic with either.
pub(super) fn is_four(bytes: &[u8], at: usize, machine: Machine) -> bool {
    if machine == Machine::Other || at == 0 || at + 4 > bytes.len() {
        return false;
    }
    // To a register, or with eax.
    if matches!(bytes[at - 1], 0xb8..=0xbf | 0x3d | 0x35 | 0x2d) {
        return true;
    }
    let forms = 1..=6.min(at - 1);
    forms.into_iter().any(|form: usize| {
        let (opcode, operand) = (bytes[at - form - 1], &bytes[at - form..at]);
        let is_move = opcode == 0xc7 && operand[0] & 0x38 == 0;
        (is_move || opcode == 0x81) && address_len(operand) == Some(form)
    })
}

/// The length of the address that an instruction has: the byte that tells its form, and what that says.
fn address_len(bytes: &[u8]) -> Option<usize> {
    let form = *bytes.first()?;
    let (mode, base) = (form >> 6, form & 7);
    let has_index = mode != 3 && base == 4;
    let displacement = match mode {
        0 if base == 5 || has_index && bytes.get(1)? & 7 == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(1 + usize::from(has_index) + displacement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_of_eight_bytes() {
        assert!(is_eight(b"\x48\xb8abcdefgh", 2, Machine::X86_64));
        assert!(is_eight(b"\x49\xbfabcdefgh", 2, Machine::X86_64));
        assert!(!is_eight(b"\x48\xb8abcdefgh", 2, Machine::I386));
        assert!(!is_eight(b"\x48\xb8abcdefgh", 3, Machine::X86_64));
        assert!(!is_eight(b"\x48\xb8abcdefg", 2, Machine::X86_64));
        assert!(!is_eight(b"\xb8abcdefgh", 1, Machine::X86_64));
    }

    #[test]
    fn operands_of_four_bytes() {
        let forms: [&[u8]; 9] = [
            b"\xb8",                         // mov eax
            b"\x3d",                         // cmp eax
            b"\xc7\x00",                     // mov [rax]
            b"\xc7\x40\x10",                 // mov [rax + 16]
            b"\xc7\x44\x24\x10",             // mov [rsp + 16]
            b"\xc7\x84\x24\x10\x01\x00\x00", // mov [rsp + 272]
            b"\xc7\x05\x10\x01\x00\x00",     // mov [rip + 272]
            b"\x81\x78\x10",                 // cmp [rax + 16]
            b"\x81\x7c\x03\x10",             // cmp [rbx + rax + 16]
        ];
        for form in forms {
            let text = [b"\x90\x90\x90", form, b"abcd"].concat();
            assert!(is_four(&text, 3 + form.len(), Machine::X86_64), "{form:x?}");
            assert!(!is_four(&text, 3 + form.len(), Machine::Other), "{form:x?}");
        }
        assert!(!is_four(b"\x90\x90\x90abcd", 3, Machine::X86_64));
        assert!(!is_four(b"\xc7\x84\x24\x10abcd", 4, Machine::X86_64));
        assert!(!is_four(b"abcd", 0, Machine::X86_64));
    }

    #[test]
    fn headers() {
        let mut header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
        assert_eq!(Elf::read(&header, 7), Some(Elf { header_at: 7, machine: Machine::X86_64 }));
        header[18] = 183;
        assert_eq!(Elf::read(&header, 0).map(|elf| elf.machine), Some(Machine::Other));
        header[4] = 9;
        assert_eq!(Elf::read(&header, 0), None);
        assert_eq!(Elf::read(b"\x7fELF", 0), None);
    }
}
