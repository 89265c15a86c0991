#include "fusefs/node_table.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "fusefs/dirfd_cache.hpp"
#include "fusefs/handles.hpp"

namespace fusefs {
namespace {

class NodeTableTest : public testing::Test {
 protected:
  NodeTableTest() {
    table->on_death([this](Node&) { ++deaths; });
  }
  Node* make(Node* parent, std::string_view name, bool dir = false) {
    Node* node = table->create(parent, name);
    node->type = dir ? identity::NodeType::dir : identity::NodeType::file;
    if (dir) node->dir = std::make_unique<DirPart>();
    table->remember(node);
    return node;
  }
  std::unique_ptr<NodeTable> table = std::make_unique<NodeTable>();
  Node* root = table->root();
  std::size_t deaths = 0;
};

TEST_F(NodeTableTest, FindsByNumberAndByName) {
  Node* a = make(root, "a");
  EXPECT_EQ(root->id, 1u);
  EXPECT_EQ(table->find(1), root);
  EXPECT_EQ(table->find(a->id), a);
  EXPECT_EQ(table->find(root, "a"), a);
  EXPECT_EQ(table->find(root, "b"), nullptr);
  EXPECT_EQ(table->find(a, "a"), nullptr);
  for (NodeId wrong : {NodeId{0}, NodeId{3}, NodeId{1} << 40, ~NodeId{0}})
    EXPECT_EQ(table->find(wrong), nullptr) << wrong;
}

TEST_F(NodeTableTest, ForgetFreesWhatNobodyWants) {
  Node* a = make(root, "a");
  table->remember(a);
  NodeId id = a->id;
  table->forget(a, 1);
  EXPECT_EQ(table->find(id), a);
  table->forget(a, 1);
  EXPECT_EQ(table->find(id), nullptr);
  EXPECT_EQ(table->find(root, "a"), nullptr);
  EXPECT_EQ(deaths, 1u);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(make(root, "b")->id, id) << "numbers are used again";
}

TEST_F(NodeTableTest, ForgetCountsBeyondWhatWasGiven) {
  Node* a = make(root, "a");
  Pin pin(*table, a);
  table->forget(a, ~0ull);
  EXPECT_EQ(a->lookups, 0u);
  table->remember(a);
  EXPECT_EQ(a->lookups, 1u);
  table->forget(root, ~0ull);
  EXPECT_EQ(table->find(1), root);
}

TEST_F(NodeTableTest, ParentLivesAsLongAsItsChildren) {
  Node* dir = make(root, "dir", true);
  Node* child = make(dir, "child");
  NodeId dir_id = dir->id, child_id = child->id;
  table->forget(dir, 1);
  EXPECT_EQ(table->find(dir_id), dir);
  table->forget(child, 1);
  EXPECT_EQ(table->find(dir_id), nullptr);
  EXPECT_EQ(table->find(child_id), nullptr);
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(NodeTableTest, DeepTreeDiesWithoutRecursion) {
  constexpr int kDepth = 100'000;
  Node* at = root;
  for (int i = 0; i < kDepth; ++i) {
    Node* next = make(at, "d", true);
    if (at != root) table->forget(at, 1);
    at = next;
  }
  EXPECT_EQ(table->size(), kDepth + 1u);
  table->forget(at, 1);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(deaths, static_cast<std::size_t>(kDepth));
}

TEST_F(NodeTableTest, ManyNames) {
  constexpr int kMany = 20'000;
  for (int i = 0; i < kMany; ++i) make(root, "name" + std::to_string(i));
  for (int i = 0; i < kMany; ++i) {
    Node* found = table->find(root, "name" + std::to_string(i));
    ASSERT_TRUE(found) << i;
    if (i % 2) table->forget(found, 1);
  }
  EXPECT_EQ(table->size(), kMany / 2 + 1u);
  for (int i = 0; i < kMany; ++i)
    ASSERT_EQ(table->find(root, "name" + std::to_string(i)) != nullptr, i % 2 == 0) << i;
}

TEST_F(NodeTableTest, HardLinksComeAndGo) {
  Node* dir = make(root, "dir", true);
  Node* file = make(root, "one");
  table->add_name(file, dir, "two");
  table->add_name(file, dir, "three");
  table->index_inode(file, 7, 9);
  EXPECT_EQ(table->find(dir, "two"), file);
  EXPECT_EQ(table->find_inode(7, 9), file);
  EXPECT_EQ(table->find_inode(7, 8), nullptr);
  EXPECT_EQ(table->find_inode(8, 9), nullptr);
  table->remove_name(root, "one");  // the first name is the embedded one
  EXPECT_EQ(table->find(root, "one"), nullptr);
  EXPECT_EQ(table->find(dir, "two"), file);
  EXPECT_EQ(table->find(dir, "three"), file);
  EXPECT_EQ(file->name.parent, dir);
  table->remove_name(dir, std::string(file->name.text));
  EXPECT_EQ((table->find(dir, "two") == file) + (table->find(dir, "three") == file), 1);
  table->forget(dir, 1);
  table->forget(file, 1);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(table->find_inode(7, 9), nullptr);
}

TEST_F(NodeTableTest, HardLinksDieWithAllTheirNames) {
  Node* dir = make(root, "dir", true);
  Node* file = make(dir, "one");
  Node* other = make(root, "other");
  for (int i = 0; i < 100; ++i) table->add_name(file, i % 2 ? dir : root, "n" + std::to_string(i));
  table->forget(dir, 1);
  table->forget(file, 1);
  EXPECT_EQ(table->size(), 2u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(table->find(root, "n" + std::to_string(i)), nullptr);
  EXPECT_EQ(table->find(root, "other"), other);
}

/// It can only happen to who does not tell the truth; it must not harm the other.
TEST_F(NodeTableTest, TwoNodesOfOneNameDoNotTakeEachOtherOut) {
  Node* first = make(root, "same");
  Node* second = make(root, "other");
  table->add_name(second, root, "same");
  table->forget(second, 1);
  EXPECT_EQ(table->find(root, "same"), first);
  table->forget(first, 1);
  EXPECT_EQ(table->find(root, "same"), nullptr);
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(NodeTableTest, RenameMovesOneName) {
  Node* dir = make(root, "dir", true);
  Node* file = make(root, "a");
  table->rename(root, "a", dir, "b");
  EXPECT_EQ(table->find(root, "a"), nullptr);
  EXPECT_EQ(table->find(dir, "b"), file);
  table->forget(dir, 1);
  EXPECT_EQ(table->find(root, "dir"), dir) << "its child keeps it";
  table->rename(dir, "b", root, "c");
  EXPECT_EQ(table->find(root, "dir"), nullptr) << "its last child has left";
  EXPECT_EQ(table->find(root, "c"), file);
  table->rename(root, "nothing", root, "c2");
  EXPECT_EQ(table->find(root, "c2"), nullptr);
}

TEST_F(NodeTableTest, ExchangeSwapsAlsoWithinOneDirectory) {
  Node* dir = make(root, "dir", true);
  Node *a = make(root, "a"), *b = make(dir, "b"), *c = make(root, "c");
  table->exchange(root, "a", dir, "b");
  EXPECT_EQ(table->find(root, "a"), b);
  EXPECT_EQ(table->find(dir, "b"), a);
  table->exchange(root, "a", root, "c");
  EXPECT_EQ(table->find(root, "a"), c);
  EXPECT_EQ(table->find(root, "c"), b);
  table->exchange(root, "a", root, "nothing");
  EXPECT_EQ(table->find(root, "a"), c);
}

TEST(DirfdCache, HoldsNoMoreThanItsLimit) {
  DirfdCache cache(20);
  auto open = [] { return base::Fd(::dup(0)); };
  for (NodeId id = 2; id < 102; ++id) cache.insert(id, 0, open());
  EXPECT_EQ(cache.size(), 20u);
  EXPECT_EQ(cache.find(81, 0), -1);
  EXPECT_GE(cache.find(82, 0), 0) << "the least recently used now the most recently";
  cache.insert(200, 0, open());
  EXPECT_GE(cache.find(82, 0), 0);
  EXPECT_EQ(cache.find(83, 0), -1);
  EXPECT_EQ(cache.find(200, 1), -1) << "another layer";
  cache.drop(200, 0);
  EXPECT_EQ(cache.find(200, 0), -1);
  EXPECT_EQ(DirfdCache(1).limit(), 16u) << "one operation needs several";
}

TEST(Handles, NumbersFromOutsideAreNotTrusted) {
  NodeTable table;
  Handles handles;
  EXPECT_EQ(handles.find(0), nullptr);
  auto first = handles.add(std::make_shared<OpenFile>(table, table.root()));
  EXPECT_TRUE(handles.find(first));
  EXPECT_EQ(handles.find(~0ull), nullptr);
  handles.remove(~0ull);
  handles.remove(first);
  handles.remove(first);
  EXPECT_EQ(handles.find(first), nullptr);
  EXPECT_EQ(handles.size(), 0u);
  auto a = handles.add(std::make_shared<OpenFile>(table, table.root()));
  auto b = handles.add(std::make_shared<OpenFile>(table, table.root()));
  EXPECT_NE(a, b);
  EXPECT_EQ(handles.size(), 2u);
}

}  // namespace
}  // namespace fusefs
