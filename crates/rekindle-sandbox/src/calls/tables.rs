//! The numbers of the calls, by architecture.

use super::Call;
use super::Last::{Follow, FollowUnless, Keep, KeepUnless};
use super::{Arch, at, fd, from};

/// Younger than 2019, with the same number everywhere.
pub(super) const COMMON: &[(u32, Call)] = &[
    (428, Call::ChangeView), // open_tree
    (429, Call::ChangeView), // move_mount
    (432, Call::ChangeView), // fsmount
    (435, Call::Clone3),
    (437, Call::OpenHow(from(0, 1, Follow), 2)),
    (438, Call::Take),                              // pidfd_getfd
    (452, Call::Mode(from(0, 1, FollowUnless(3)))), // fchmodat2
    (466, Call::Mode(from(0, 1, FollowUnless(2)))), // removexattrat
    (467, Call::ChangeView),                        // open_tree_attr
    (469, Call::Mode(from(0, 1, FollowUnless(4)))), // file_setattr
];

pub(super) const COMMON_LOOKS: &[(u32, Call)] = &[
    (439, Call::Look(from(0, 1, FollowUnless(3)))), // faccessat2
    (464, Call::Look(from(0, 1, FollowUnless(2)))), // getxattrat
    (465, Call::Look(from(0, 1, FollowUnless(2)))), // listxattrat
    (468, Call::Look(from(0, 1, FollowUnless(4)))), // file_getattr
];

pub(super) const X86_64: Arch = Arch {
    id: 0xc000_003e,
    wide: true,
    calls: &[
        (2, Call::Open(at(0, Follow), 1)),
        (47, Call::Receive),
        (49, Call::Bind(1, 2)),
        (56, Call::Clone),
        (59, Call::Exec(at(0, Follow))),
        (76, Call::Truncate(at(0, Follow))),
        (80, Call::ChangeDir(Some(at(0, Follow)))),
        (81, Call::ChangeDir(None)),
        (82, Call::Rename(at(0, Keep), at(1, Keep), None)),
        (83, Call::Make(at(0, Keep))),
        (84, Call::Remove(at(0, Keep))),
        (85, Call::Creat(at(0, Follow))),
        (86, Call::Link(at(0, Keep), at(1, Keep))),
        (87, Call::Remove(at(0, Keep))),
        (88, Call::Make(at(1, Keep))),
        (90, Call::Mode(at(0, Follow))),
        (91, Call::Mode(fd(0))),
        (92, Call::Mode(at(0, Follow))),
        (93, Call::Mode(fd(0))),
        (94, Call::Mode(at(0, Keep))),
        (132, Call::Times(at(0, Follow))),
        (133, Call::Make(at(0, Keep))),
        (155, Call::ChangeView),
        (161, Call::ChangeView),
        (165, Call::ChangeView),
        (166, Call::ChangeView),
        (197, Call::Mode(at(0, Follow))),
        (198, Call::Mode(at(0, Keep))),
        (199, Call::Mode(fd(0))),
        (231, Call::Exit),
        (235, Call::Times(at(0, Follow))),
        (257, Call::Open(from(0, 1, Follow), 2)),
        (258, Call::Make(from(0, 1, Keep))),
        (259, Call::Make(from(0, 1, Keep))),
        (260, Call::Mode(from(0, 1, FollowUnless(4)))),
        (261, Call::Times(from(0, 1, Follow))),
        (263, Call::Remove(from(0, 1, Keep))),
        (264, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (265, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (266, Call::Make(from(1, 2, Keep))),
        (268, Call::Mode(from(0, 1, Follow))),
        (280, Call::Times(from(0, 1, FollowUnless(3)))),
        (299, Call::Take),
        (304, Call::OpenHandle),
        (316, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (322, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (4, Call::Look(at(0, Follow))),
        (6, Call::Look(at(0, Keep))),
        (21, Call::Look(at(0, Follow))),
        (89, Call::ReadLink(at(0, Keep))),
        (137, Call::Look(at(0, Follow))),
        (191, Call::Look(at(0, Follow))),
        (192, Call::Look(at(0, Keep))),
        (194, Call::Look(at(0, Follow))),
        (195, Call::Look(at(0, Keep))),
        (254, Call::Look(at(1, Follow))),
        (262, Call::Look(from(0, 1, FollowUnless(3)))),
        (267, Call::ReadLink(from(0, 1, Keep))),
        (269, Call::Look(from(0, 1, Follow))),
        (303, Call::Look(from(0, 1, KeepUnless(4)))), // name_to_handle_at
        (332, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

/// What i386 and arm have in common: all that is older than 2002.
macro_rules! old_calls {
    ($($more:tt)*) => {
        &[
            (5, Call::Open(at(0, Follow), 1)),
            (8, Call::Creat(at(0, Follow))),
            (9, Call::Link(at(0, Keep), at(1, Keep))),
            (10, Call::Remove(at(0, Keep))),
            (11, Call::Exec(at(0, Follow))),
            (12, Call::ChangeDir(Some(at(0, Follow)))),
            (14, Call::Make(at(0, Keep))),
            (15, Call::Mode(at(0, Follow))),
            (16, Call::Mode(at(0, Keep))),
            (21, Call::ChangeView),
            (30, Call::Times(at(0, Follow))),
            (38, Call::Rename(at(0, Keep), at(1, Keep), None)),
            (39, Call::Make(at(0, Keep))),
            (40, Call::Remove(at(0, Keep))),
            (52, Call::ChangeView),
            (61, Call::ChangeView),
            (83, Call::Make(at(1, Keep))),
            (92, Call::Truncate(at(0, Follow))),
            (94, Call::Mode(fd(0))),
            (95, Call::Mode(fd(0))),
            (120, Call::Clone),
            (133, Call::ChangeDir(None)),
            (182, Call::Mode(at(0, Follow))),
            (193, Call::Truncate(at(0, Follow))),
            (198, Call::Mode(at(0, Keep))),
            (207, Call::Mode(fd(0))),
            (212, Call::Mode(at(0, Follow))),
            (235, Call::Mode(at(0, Follow))),
            (236, Call::Mode(at(0, Keep))),
            (237, Call::Mode(fd(0))),
            (412, Call::Times(from(0, 1, FollowUnless(3)))),
            (417, Call::Take),
            $($more)*
        ]
    };
}

pub(super) const OLD_LOOKS: &[(u32, Call)] = &[
    (33, Call::Look(at(0, Follow))),
    (85, Call::ReadLink(at(0, Keep))),
    (99, Call::Look(at(0, Follow))),
    (106, Call::Look(at(0, Follow))),
    (107, Call::Look(at(0, Keep))),
    (195, Call::Look(at(0, Follow))),
    (196, Call::Look(at(0, Keep))),
    (229, Call::Look(at(0, Follow))),
    (230, Call::Look(at(0, Keep))),
    (232, Call::Look(at(0, Follow))),
    (233, Call::Look(at(0, Keep))),
];

pub(super) const I386: Arch = Arch {
    id: 0x4000_0003,
    wide: false,
    calls: old_calls![
        (102, Call::Sockets),
        (217, Call::ChangeView),
        (252, Call::Exit),
        (271, Call::Times(at(0, Follow))),
        (295, Call::Open(from(0, 1, Follow), 2)),
        (296, Call::Make(from(0, 1, Keep))),
        (297, Call::Make(from(0, 1, Keep))),
        (298, Call::Mode(from(0, 1, FollowUnless(4)))),
        (299, Call::Times(from(0, 1, Follow))),
        (301, Call::Remove(from(0, 1, Keep))),
        (302, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (303, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (304, Call::Make(from(1, 2, Keep))),
        (306, Call::Mode(from(0, 1, Follow))),
        (320, Call::Times(from(0, 1, FollowUnless(3)))),
        (337, Call::Take),
        (342, Call::OpenHandle),
        (353, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (358, Call::Exec(from(0, 1, FollowUnless(4)))),
        (361, Call::Bind(1, 2)),
        (372, Call::Receive),
    ],
    looks: &[
        (18, Call::Look(at(0, Follow))),
        (84, Call::Look(at(0, Keep))),
        (268, Call::Look(at(0, Follow))),
        (292, Call::Look(at(1, Follow))),
        (300, Call::Look(from(0, 1, FollowUnless(3)))),
        (305, Call::ReadLink(from(0, 1, Keep))),
        (307, Call::Look(from(0, 1, Follow))),
        (341, Call::Look(from(0, 1, KeepUnless(4)))),
        (383, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

pub(super) const AARCH64: Arch = Arch {
    id: 0xc000_00b7,
    wide: true,
    calls: &[
        (14, Call::Mode(at(0, Follow))),
        (15, Call::Mode(at(0, Keep))),
        (16, Call::Mode(fd(0))),
        (33, Call::Make(from(0, 1, Keep))),
        (34, Call::Make(from(0, 1, Keep))),
        (35, Call::Remove(from(0, 1, Keep))),
        (36, Call::Make(from(1, 2, Keep))),
        (37, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (38, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (39, Call::ChangeView),
        (40, Call::ChangeView),
        (41, Call::ChangeView),
        (45, Call::Truncate(at(0, Follow))),
        (49, Call::ChangeDir(Some(at(0, Follow)))),
        (50, Call::ChangeDir(None)),
        (51, Call::ChangeView),
        (52, Call::Mode(fd(0))),
        (53, Call::Mode(from(0, 1, Follow))),
        (54, Call::Mode(from(0, 1, FollowUnless(4)))),
        (55, Call::Mode(fd(0))),
        (56, Call::Open(from(0, 1, Follow), 2)),
        (88, Call::Times(from(0, 1, FollowUnless(3)))),
        (94, Call::Exit),
        (200, Call::Bind(1, 2)),
        (212, Call::Receive),
        (220, Call::Clone),
        (221, Call::Exec(at(0, Follow))),
        (243, Call::Take),
        (265, Call::OpenHandle),
        (276, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (281, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (8, Call::Look(at(0, Follow))),
        (9, Call::Look(at(0, Keep))),
        (11, Call::Look(at(0, Follow))),
        (12, Call::Look(at(0, Keep))),
        (27, Call::Look(at(1, Follow))),
        (43, Call::Look(at(0, Follow))),
        (48, Call::Look(from(0, 1, Follow))),
        (78, Call::ReadLink(from(0, 1, Keep))),
        (79, Call::Look(from(0, 1, FollowUnless(3)))),
        (264, Call::Look(from(0, 1, KeepUnless(4)))),
        (291, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

pub(super) const ARM: Arch = Arch {
    id: 0x4000_0028,
    wide: false,
    calls: old_calls![
        (218, Call::ChangeView),
        (248, Call::Exit),
        (269, Call::Times(at(0, Follow))),
        (282, Call::Bind(1, 2)),
        (297, Call::Receive),
        (322, Call::Open(from(0, 1, Follow), 2)),
        (323, Call::Make(from(0, 1, Keep))),
        (324, Call::Make(from(0, 1, Keep))),
        (325, Call::Mode(from(0, 1, FollowUnless(4)))),
        (326, Call::Times(from(0, 1, Follow))),
        (328, Call::Remove(from(0, 1, Keep))),
        (329, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (330, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (331, Call::Make(from(1, 2, Keep))),
        (333, Call::Mode(from(0, 1, Follow))),
        (348, Call::Times(from(0, 1, FollowUnless(3)))),
        (365, Call::Take),
        (371, Call::OpenHandle),
        (382, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (387, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (266, Call::Look(at(0, Follow))),
        (317, Call::Look(at(1, Follow))),
        (327, Call::Look(from(0, 1, FollowUnless(3)))),
        (332, Call::ReadLink(from(0, 1, Keep))),
        (334, Call::Look(from(0, 1, Follow))),
        (370, Call::Look(from(0, 1, KeepUnless(4)))),
        (397, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};
