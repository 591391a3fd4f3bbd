#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent, Leg, Mapped, Mapping};
use proptest::prelude::*;

use super::*;

const BLOCK: u64 = 2048;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// Ranges that follow one another above, with blocks below in any order.
fn ranges() -> impl Strategy<Value = Vec<BlockRange>> {
    prop::collection::vec((0..3_u64, 1..4_u64), 0..6).prop_flat_map(|above| {
        let places = (0..above.len()).collect::<Vec<_>>();
        Just(places).prop_shuffle().prop_map(move |order| {
            let mut all = Vec::new();
            let mut volume = 0;
            for ((gap, blocks), place) in above.iter().zip(order) {
                volume += gap;
                all.push(BlockRange { volume, data: place as u64 * 4, blocks: *blocks });
                volume += blocks;
            }
            all
        })
    })
}

proptest! {
    #[test]
    fn every_sector_is_where_its_block_is(
        ranges in ranges(), len in 1..50_u64, origin in prop::option::of(0..60_u64),
    ) {
        let (len, origin) = (len * 512, origin.map(|sectors| sectors * 512));
        let volume = Volume::new(len, BLOCK, &ranges, origin).unwrap();
        let mut blocks = BTreeMap::new();
        for range in &ranges {
            for by in 0..range.blocks {
                blocks.insert(range.volume + by, range.data + by);
            }
        }
        let data_legs = u32::from(volume.is_data(Leg::new(0)));
        for sector in 0..len / 512 {
            let byte = sector * 512;
            // Truth: the block's place, else the origin's same byte, else nowhere.
            let due = match blocks.get(&(byte / BLOCK)) {
                Some(data) => Some((Leg::new(0), data * BLOCK + byte % BLOCK)),
                None => origin.filter(|o| byte < *o).map(|_| (Leg::new(data_legs), byte)),
            };
            let mut found = Vec::new();
            let _ = volume.map(at(byte, 512), &mut |part| {
                found.push(match part {
                    Mapped::To { leg, link } => Some((leg, link.lower().first().start().get())),
                    Mapped::Hole(..) | Mapped::Own(_) => None,
                });
                ControlFlow::Continue(())
            });
            prop_assert_eq!(&found, &vec![due]);
            if let Some((leg, lower)) = due {
                let mut back = Vec::new();
                let _ = volume.rmap(leg, at(lower, 512).into(), &mut |link| {
                    back.push(link.upper());
                    ControlFlow::Continue(())
                });
                prop_assert_eq!(back, vec![at(byte, 512).into()]);
            }
        }
        // Nothing that is not mapped leads up.
        let mut up = 0;
        for leg in 0..volume.legs() {
            let mut of_leg = Vec::new();
            let _ = volume.rmap(Leg::new(leg), at(0, 1 << 20).into(), &mut |link| {
                up += link.upper().total_len();
                of_leg.extend(link.lower().elements());
                ControlFlow::Continue(())
            });
            prop_assert!(of_leg.is_sorted());
            prop_assert_eq!(volume.used(Leg::new(leg)), of_leg);
        }
        let mut down = 0;
        let _ = volume.map(at(0, len), &mut |part| {
            if let Mapped::To { link, .. } = part {
                down += link.upper().total_len();
            }
            ControlFlow::Continue(())
        });
        prop_assert_eq!(up, down);
    }
}

#[test]
fn blocks_that_are_there_twice_are_refused() {
    let range = |volume, data, blocks| BlockRange { volume, data, blocks };
    let refused = |ranges: &[BlockRange]| Volume::new(1 << 20, BLOCK, ranges, None).unwrap_err();
    assert_eq!(refused(&[range(0, 0, 4), range(3, 9, 1)]), ThinError::Volume { block: 3 });
    assert_eq!(refused(&[range(0, 0, 4), range(9, 3, 1)]), ThinError::Data { block: 3 });
    assert_eq!(refused(&[range(u64::MAX, 0, 1)]), ThinError::Overflow);
    assert_eq!(Volume::new(0, BLOCK, &[], None), Err(ThinError::Empty));
}

#[test]
fn a_volume_without_blocks_lies_on_nothing() {
    let volume = Volume::new(1 << 20, BLOCK, &[], None).unwrap();
    assert_eq!((volume.legs(), volume.extent()), (0, at(0, 1 << 20)));
}

proptest! {
    #[test]
    fn a_file_may_have_a_block_of_its_device_several_times(
        data in prop::collection::vec(prop::option::of(0..6_u64), 1..20), cut in 0..4_u64,
    ) {
        // Block by block: which block below each of the file's has; None is a hole.
        let ranges: Vec<_> = data.iter().zip(0_u64..).filter_map(|(data, volume)| {
            data.map(|data| BlockRange { volume, data, blocks: 1 })
        }).collect();
        let len = data.len() as u64 * BLOCK - cut * 512;
        let file = Volume::of_file(len, BLOCK, &ranges).unwrap();
        for sector in 0..len / 512 {
            let byte = sector * 512;
            let due = data[(byte / BLOCK) as usize].map(|data| data * BLOCK + byte % BLOCK);
            let mut found = Vec::new();
            let _ = file.map(at(byte, 512), &mut |part| {
                found.push(match part {
                    Mapped::To { leg, link } => {
                        assert!(file.is_data(leg));
                        Some(link.lower().first().start().get())
                    }
                    Mapped::Hole(..) | Mapped::Own(_) => None,
                });
                ControlFlow::Continue(())
            });
            prop_assert_eq!(found, vec![due]);
        }
        // From below: every sector of a block is at each place of the file that has the block.
        for sector in 0..8 * BLOCK / 512 {
            let byte = sector * 512;
            let mut above: Vec<_> = (0..len / 512).map(|s| s * 512).filter(|up| {
                data[(up / BLOCK) as usize] == Some(byte / BLOCK) && up % BLOCK == byte % BLOCK
            }).collect();
            for leg in (0..file.legs()).map(Leg::new) {
                let _ = file.rmap(leg, at(byte, 512).into(), &mut |link| {
                    let start = link.upper().first().start().get();
                    let here = above.iter().position(|up| *up == start);
                    above.remove(here.expect("a place that has the block, once"));
                    ControlFlow::Continue(())
                });
            }
            prop_assert_eq!(above, Vec::<u64>::new());
        }
    }
}

#[test]
fn a_file_has_one_place_for_a_block_and_a_block_so_many_uses() {
    let range = |volume, data, blocks| BlockRange { volume, data, blocks };
    let twice = Volume::of_file(1 << 20, BLOCK, &[range(0, 0, 4), range(3, 9, 1)]);
    assert_eq!(twice, Err(ThinError::Volume { block: 3 }));
    let uses = |n: usize| (0..n as u64).map(|at| range(at, 7, 1)).collect::<Vec<_>>();
    assert_eq!(Volume::of_file(1 << 20, BLOCK, &uses(MAX_USES)).unwrap().legs(), 256);
    let many = Volume::of_file(1 << 20, BLOCK, &uses(MAX_USES + 1));
    assert_eq!(many, Err(ThinError::Data { block: 7 }));
}
