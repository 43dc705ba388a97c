#include "check.h"
#include "launch/scratch_blocks.h"

namespace KVSIFT_TEST_SPACE {

namespace launch = kvsift::KVSIFT_TARGET;

KVSIFT_TEST(scratch_blocks, "scratch: pieces are shared by sizes that round alike, on one stream only, and none gets lost") {
  launch::ScratchBlocks blocks;
  int places[3];
  int streams[2];
  const auto stream = [&](int i) { return reinterpret_cast<launch::Stream>(&streams[i]); };
  expect(launch::ScratchBlocks::rounded(1) == 256 && launch::ScratchBlocks::rounded(256) == 256 && launch::ScratchBlocks::rounded(257) == 512, "sizes");
  auto first = blocks.take(stream(0), 300);
  auto second = blocks.take(stream(0), 512);
  auto other = blocks.take(stream(1), 300);
  expect(first.data == nullptr && second.data == nullptr && other.data == nullptr && first.bytes == 512 && second.bytes == 512, "nothing waits yet");
  first.data = &places[0];
  second.data = &places[1];
  other.data = &places[2];
  blocks.give(stream(0), first);
  blocks.give(stream(0), second);
  blocks.give(stream(1), other);
  expect(blocks.take(stream(1), 512).data == &places[2], "the piece of the stream");
  expect(blocks.take(stream(1), 512).data == nullptr, "not that of another stream");
  expect(blocks.take(stream(0), 200).data == nullptr, "not one of another size");
  expect(blocks.take(stream(0), 511).data == &places[1], "the last piece first");
  const auto left = blocks.clear();
  expect(left.size() == 1 && left[0].data == &places[0] && left[0].bytes == 512, "what waits");
  expect(blocks.clear().empty(), "nothing waits any more");
}

}  // namespace KVSIFT_TEST_SPACE
